"""What the figures of a session's photographs mean: sentences, and good, usable or bad.

A photograph is judged against the other takes of its own camera first, since views differ by
nature, and against the other cameras of its take where there are none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from .measure import Measure
from .photo import most_common
from .session import CameraInfo, Session, Shot, Take, TakeKind

SOFT, BLURRED = 0.7, 0.35  # of a camera's usual sharpness: about 0.7 and 1.5 px of blur
SOFT_BESIDE_OTHERS = 0.25  # of the other cameras', whose views differ up to threefold
SOFT_PRINT = 1.5  # the edges of a board: 3.3 where sharp, this with 2 px of blur
LEVEL_OFF, LEVEL_BAD = 0.15, 0.4  # of a camera's usual light
LEVEL_BESIDE_OTHERS = 0.6
BOARD_LEVEL = 0.35  # of the usual light of all cameras: boards move, a dark take is a failed flash
TINT, TINT_BAD = 0.08, 0.3  # of a ratio of channels
TINT_BESIDE_OTHERS = 0.15
WIDER = 3.0  # times these where the subject's pixels are not known: what is behind it changes too
CLIPPED, CLIPPED_BAD = 0.01, 0.15  # of the subject's pixels
DARK, DARK_BAD = 0.3, 0.8
MIN_PRESENT = 0.5  # of the cameras, for a take to be of use


class Verdict(StrEnum):
    """Of a photograph or a take."""

    GOOD = "good"
    USABLE = "usable"
    """With remarks."""
    BAD = "bad"


ORDER = (Verdict.GOOD, Verdict.USABLE, Verdict.BAD)


@dataclass
class Findings:
    """What is said of one photograph, camera or take."""

    verdict: Verdict = Verdict.GOOD
    remarks: list[str] = field(default_factory=list)

    def add(self, sentence: str, *, bad: bool = False) -> None:
        """Add a sentence; the verdict gets no better by it."""
        self.remarks.append(sentence)
        self.worsen(Verdict.BAD if bad else Verdict.USABLE)

    def worsen(self, verdict: Verdict) -> None:
        """Take the worse of the verdicts."""
        self.verdict = max(self.verdict, verdict, key=ORDER.index)


Key = tuple[str, str]
"""Take and camera."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """All that is said of a session."""

    shots: Mapping[Key, Findings]
    takes: Mapping[str, Findings]
    cameras: Mapping[str, Findings]


def judge(session: Session, measures: Mapping[Key, Measure]) -> Judged:
    """Judge every photograph, take and camera by the figures and the session's record."""
    judged = Judged(
        shots={(take.id, shot.camera): Findings() for take in session.takes for shot in take.shots},
        takes={take.id: Findings() for take in session.takes},
        cameras={camera.id: Findings() for camera in session.cameras},
    )
    for kind in TakeKind:
        takes = session.takes_of(kind)
        if not takes:
            continue
        _judge_settings(session, takes, judged)
        if kind is TakeKind.TARGET:
            _judge_boards(takes, measures, judged)
            continue
        if kind is not TakeKind.EMPTY:
            _judge_sharpness(takes, measures, judged)
        _judge_light(takes, measures, judged)
        _judge_tint(takes, measures, judged)
    for take in session.takes:
        for shot in take.shots:
            key = (take.id, shot.camera)
            _judge_range(judged.shots[key], measures[key], take.kind)
    _judge_cameras(session, measures, judged)
    for take in session.takes:
        _judge_take(session, take, judged)
    return judged


@dataclass(frozen=True, kw_only=True)
class _Usual:
    """A figure against what is usual: 1 is as always."""

    together: Mapping[str, float]
    """Take -> all its cameras."""
    alone: Mapping[Key, float]
    """Take and camera -> this photograph against the others of its take; only where the
    camera has several takes."""


def _usual(
    takes: Sequence[Take],
    measures: Mapping[Key, Measure],
    figure: Callable[[Measure], float | None],
) -> _Usual:
    """Split a figure's logarithm into camera + take + rest by medians in turn.

    Of two takes the higher is usual: blur and failed flashes only take away.

    Source
    ------
    Median polish: Tukey, Exploratory Data Analysis, 1977, chapter 11.
    """
    rows = {take.id: i for i, take in enumerate(takes)}
    columns = {c: i for i, c in enumerate(dict.fromkeys(s.camera for t in takes for s in t.shots))}
    table = np.full((len(rows), len(columns)), np.nan)
    for take in takes:
        for shot in take.shots:
            value = figure(measures[take.id, shot.camera])
            if value is not None:
                table[rows[take.id], columns[shot.camera]] = np.log(max(value, 1e-6))
    several = (~np.isnan(table)).sum(axis=0) > 1
    table[:, ~several] = np.nan
    effect = np.zeros(len(rows))
    rest = table.copy()
    for turn in range(7):
        # cameras first: takes of two, whose effect stays naught, have to be held against them
        for i in range(len(rows)) if turn else ():
            known = rest[i][~np.isnan(rest[i])]
            if len(known) > 2:  # of two cameras nobody can say whether it was the take
                effect[i] += np.median(known)
                rest[i] -= np.median(known)
        for j in np.flatnonzero(several):
            known = rest[:, j][~np.isnan(rest[:, j])]
            rest[:, j] -= known.max() if len(known) == 2 else np.median(known)
    present = ~np.isnan(table).all(axis=1)
    if present.any():
        effect -= effect[present].max() if present.sum() == 2 else np.median(effect[present])
    return _Usual(
        together={take: float(np.exp(effect[i])) for take, i in rows.items()},
        alone={
            (take, camera): float(np.exp(rest[i, j]))
            for take, i in rows.items()
            for camera, j in columns.items()
            if not np.isnan(rest[i, j])
        },
    )


def _judge_boards(takes: Sequence[Take], measures: Mapping[Key, Measure], judged: Judged) -> None:
    """Judge boards by their edges and by the light of all cameras: they move from take to take."""
    usual = _usual(takes, measures, lambda one: one.level)
    for take in takes:
        for shot in take.shots:
            sharpness = measures[take.id, shot.camera].sharpness
            if sharpness is not None and sharpness < SOFT_PRINT:
                judged.shots[take.id, shot.camera].add(
                    f"camera {shot.camera} shows no sharp edge: out of focus or moved"
                )
        if usual.together[take.id] < BOARD_LEVEL:
            judged.takes[take.id].add(
                f"all cameras are {_off(usual.together[take.id])} than usual: did a flash fail?"
            )


def _judge_sharpness(
    takes: Sequence[Take], measures: Mapping[Key, Measure], judged: Judged
) -> None:
    usual = _usual(takes, measures, lambda one: one.sharpness)
    for (take, camera), alone in usual.alone.items():
        share = alone * usual.together[take]
        soft, blurred = SOFT, BLURRED
        if not measures[take, camera].subject_known:
            soft, blurred = SOFT / 2, BLURRED / 2
        if share < soft:
            judged.shots[take, camera].add(
                f"camera {camera} has {share:.0%} of its usual sharpness: out of focus or moved",
                bad=share < blurred,
            )
    for take_ in takes:
        values = {shot.camera: measures[take_.id, shot.camera].sharpness for shot in take_.shots}
        for camera, value in values.items():
            others = _others(values, camera)
            single = (take_.id, camera) not in usual.alone
            if single and value is not None and len(others) > 1:
                share = value / float(np.median(others))
                if share < SOFT_BESIDE_OTHERS:
                    judged.shots[take_.id, camera].add(
                        f"camera {camera} is {share:.0%} as sharp as the others: out of focus?"
                    )


def _judge_light(takes: Sequence[Take], measures: Mapping[Key, Measure], judged: Judged) -> None:
    """Find failed flashes: all cameras of a take off together, or one off alone."""
    usual = _usual(takes, measures, lambda one: one.level)
    for take in takes:
        keys = [(take.id, s.camera) for s in take.shots if (take.id, s.camera) in usual.alone]
        if not keys:
            if take.kind is not TakeKind.COLOR_CHART:  # a flat sheet is seen by few in full
                _judge_light_beside_others(take, measures, judged)
            continue
        known = all(measures[key].subject_known for key in keys)
        wider = 1.0 if known or take.kind is TakeKind.COLOR_CHART else WIDER
        together = usual.together[take.id]
        if abs(together - 1) > wider * LEVEL_OFF:
            judged.takes[take.id].add(
                f"all cameras are {_off(together)} than usual: did a flash fail, or was the light "
                "changed?",
                bad=abs(together - 1) > wider * LEVEL_BAD,
            )
        for key in keys:
            alone = usual.alone[key]
            if abs(alone - 1) > wider * LEVEL_OFF:
                others = ", the others of this take are not" if len(keys) > 2 else ""
                judged.shots[key].add(
                    f"camera {key[1]} is {_off(alone)} than usual{others}: its flash or its "
                    "exposure failed",
                    bad=abs(alone - 1) > wider * LEVEL_BAD,
                )


def _judge_light_beside_others(take: Take, measures: Mapping[Key, Measure], judged: Judged) -> None:
    values = {shot.camera: measures[take.id, shot.camera].level for shot in take.shots}
    for camera, value in values.items():
        others = _others(values, camera)
        if len(others) > 1:
            share = value / max(1e-6, float(np.median(others)))
            if not 1 - LEVEL_BESIDE_OTHERS < share < 1 / (1 - LEVEL_BESIDE_OTHERS):
                judged.shots[take.id, camera].add(
                    f"camera {camera} is {_off(share)} than the other cameras"
                )


def _judge_tint(takes: Sequence[Take], measures: Mapping[Key, Measure], judged: Judged) -> None:
    by_camera: dict[str, list[tuple[Key, float, float]]] = {}
    for take in takes:
        for shot in take.shots:
            one = measures[take.id, shot.camera]
            if one.red_green is not None and one.blue_green is not None:
                entry = ((take.id, shot.camera), one.red_green, one.blue_green)
                by_camera.setdefault(shot.camera, []).append(entry)
    for camera, entries in by_camera.items():
        if len(entries) < 3:
            continue  # of two nobody can say which is wrong
        usual = np.median([(red, blue) for _, red, blue in entries], axis=0)
        for key, red, blue in entries:
            tint = float(np.abs(np.array([red, blue]) - usual).max())
            wider = 1.0 if measures[key].subject_known else WIDER
            if tint > wider * TINT:
                judged.shots[key].add(
                    f"camera {camera} has other colours than usual ({tint:.0%}): white balance or "
                    "light was changed",
                    bad=tint > wider * TINT_BAD,
                )


def _judge_settings(session: Session, takes: Sequence[Take], judged: Judged) -> None:
    """Find photographs whose size, lens, focal length or orientation is not their camera's."""
    ways: tuple[tuple[str, Callable[[Shot], object], bool], ...] = (
        ("is {} px", lambda shot: f"{shot.width}x{shot.height}", True),
        ("was taken with lens {}", lambda shot: shot.lens, True),
        ("was taken at {} mm", lambda shot: shot.focal_mm, True),
        ("has EXIF orientation {}", lambda shot: shot.orientation, False),
    )
    if session.moved_camera:
        return
    for camera in session.cameras:
        shots = [(take.id, shot) for take in takes if (shot := take.shot(camera.id)) is not None]
        for says, value, bad in ways:
            usual = most_common(value(shot) for _, shot in shots)
            for take, shot in shots:
                own = value(shot)
                if own is not None and own != usual:
                    tail = "" if bad else ": was the body turned? Orientation is not used"
                    judged.shots[take, camera.id].add(
                        f"camera {camera.id} {says.format(own)}, otherwise {usual}{tail}", bad=bad
                    )


def _judge_range(findings: Findings, one: Measure, kind: TakeKind) -> None:
    if one.clipped > CLIPPED and kind is not TakeKind.TARGET:
        findings.add(
            f"{one.clipped:.1%} of the subject is overexposed", bad=one.clipped > CLIPPED_BAD
        )
    if one.dark > DARK and kind is TakeKind.SUBJECT:
        findings.add(f"{one.dark:.0%} of the subject is black", bad=one.dark > DARK_BAD)


def _judge_cameras(session: Session, measures: Mapping[Key, Measure], judged: Judged) -> None:
    """Find cameras whose colours are not those of the others."""
    takes = session.takes_of(TakeKind.SUBJECT)
    tints: dict[str, tuple[float, float]] = {}
    for camera in session.cameras:
        own = [measures[take.id, camera.id] for take in takes if take.shot(camera.id) is not None]
        pairs = [
            (m.red_green, m.blue_green) for m in own if m.red_green is not None and m.subject_known
        ]
        if pairs and not session.moved_camera:
            red, blue = np.median(np.array(pairs, dtype=np.float64), axis=0)
            tints[camera.id] = (float(red), float(blue))
    for name, tint in tints.items():
        others = [value for other, value in tints.items() if other != name]
        if len(others) > 1:
            apart = float(np.abs(np.array(tint) - np.median(others, axis=0)).max())
            if apart > TINT_BESIDE_OTHERS:
                judged.cameras[name].add(
                    f"camera {name} sees other colours than the others ({apart:.0%}): set the same "
                    "white balance, or photograph a colour chart"
                )


def _judge_take(session: Session, take: Take, judged: Judged) -> None:
    findings = judged.takes[take.id]
    missing = _missing(session.cameras, take)
    said = " ".join(take.problems)
    for camera in missing:
        if f"camera {camera}" not in said:
            findings.add(f"camera {camera} is missing")
    for problem in take.problems:
        findings.add(problem)
    bad = 0
    for shot in take.shots:
        own = judged.shots[take.id, shot.camera]
        findings.remarks += own.remarks
        if own.verdict is not Verdict.GOOD:
            findings.worsen(Verdict.USABLE)
        bad += own.verdict is Verdict.BAD
    if len(take.shots) - bad < MIN_PRESENT * len(session.cameras):
        findings.add(
            f"only {len(take.shots) - bad} of {len(session.cameras)} photographs are of use",
            bad=True,
        )


def _missing(cameras: Iterable[CameraInfo], take: Take) -> list[str]:
    return [camera.id for camera in cameras if take.shot(camera.id) is None]


def _others(values: Mapping[str, float | None], camera: str) -> list[float]:
    return [v for other, v in values.items() if other != camera and v is not None]


def _off(share: float) -> str:
    return f"{1 - share:.0%} darker" if share < 1 else f"{share - 1:.0%} brighter"
