# Every target does its own set-up: `make demo` and `make test` work on a fresh clone.
READY := .venv/.ready
OUT ?= outputs/demo

.PHONY: demo test test-slow torture bench lint clean

demo: $(READY)  ## virtual studio -> calibration -> dense mesh -> report, with its error against the truth
	.venv/bin/facekit demo --out $(OUT)

test: $(READY) lint  ## everything that CI runs
	.venv/bin/python -m pytest -m "not slow and not gpu and not data"

test-slow: $(READY)  ## the long checks: real photographs, whole pipelines
	.venv/bin/python -m pytest -m "slow and not gpu and not data"

torture: $(READY)  ## damaged files, killed stages, full disks, lost workers: hours; writes the table of docs/reliability.md
	.venv/bin/facekit bench faults --full --page docs/reliability.md

bench: $(READY)  ## accuracy and cost against known truth, beside other programs on the same data
	.venv/bin/facekit bench calibration
	.venv/bin/facekit bench stereo --set scaling=true
	.venv/bin/facekit bench dataset --set full=true
	.venv/bin/facekit bench raster
	.venv/bin/facekit bench hrn
	.venv/bin/facekit bench multiview --set ablation=true --set faults=true
	.venv/bin/facekit bench learned
	.venv/bin/facekit bench ablation
	.venv/bin/facekit bench eval
	.venv/bin/facekit bench plan
	.venv/bin/facekit bench scale --page docs/scale.md

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

$(READY): pyproject.toml constraints.txt tools/setup.sh
	bash tools/setup.sh

clean:
	rm -rf .venv .pkgroot build dist *.egg-info outputs
