"""The fit's benchmark: whose face it draws."""

import logging

from facekit.benchmarks import hrn_bench_fit
from facekit.benchmarks.hrn_bench_fit import bench_model
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head


def test_without_the_ict_model_the_built_in_head_stands_in_and_that_is_said(monkeypatch, caplog):
    def head_of(subject):
        if subject == "ict":
            raise InputError("no file here")
        return "builtin"

    monkeypatch.setattr(hrn_bench_fit, "find_asset", lambda kind: None)
    monkeypatch.setattr(hrn_bench_fit, "head_of", head_of)
    with caplog.at_level(logging.WARNING):
        model = bench_model()
    assert model.name == procedural_head().name
    assert "no ICT face model" in caplog.text


def test_the_ict_model_beside_the_checkout_is_found(monkeypatch, shared_data):
    file = shared_data / "ict_face_model/ict_face_model.npz"
    monkeypatch.setattr(hrn_bench_fit, "find_asset", lambda kind: None)
    monkeypatch.setattr(hrn_bench_fit, "head_of", lambda subject: str(file))
    assert bench_model().name == "ict"
