"""One small adapter for each tracker, all with the same contract.

``make()`` returns a fresh tracker wrapped in ``step(xyxy (N, 4) float64, scores (N,) float64, embeddings (N, D)
float32 | None) -> (ids (M,), xyxy (M, 4))``. Whatever the tracker needs besides (its own detection objects, one (N, 5)
array, reading the results out of its track objects) is done inside ``step`` and so is timed: it is what its user pays.

Add a tracker: write one function, decorated with ``@adapter(name, group, reference=...)``, that imports the package
and returns ``step``. An adapter whose import fails is skipped and listed with the reason.

Trackers that are not installable packages are imported from checkouts under ``$PEERS_SRC`` (folders ``sort``,
``deep_sort``, ``ByteTrack``, ``OC_SORT``, ``BoT-SORT``); wheels that clash with another one from ``$PEERS_ALT/<name>``
(made by ``pip install --no-deps --target``).
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

Step = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], "tuple[np.ndarray, np.ndarray]"]


@dataclass(frozen=True)
class Adapter:
    name: str
    group: str
    make: Callable[[], Step]
    reference: bool
    embeddings: bool
    core: str


ADAPTERS: dict[str, Adapter] = {}


def adapter(name, group, core, reference=False, embeddings=False):
    def register(make):
        ADAPTERS[name] = Adapter(name, group, make, reference, embeddings, core)
        return make

    return register


# ---------------------------------------------------------------------------------------------------------- helpers
def source(folder: str, *inside: str) -> None:
    """Put a checkout under $PEERS_SRC first on the import path."""
    path = Path(os.environ.get("PEERS_SRC", "")) / folder
    if not os.environ.get("PEERS_SRC") or not path.is_dir():
        raise ImportError(f"no checkout {folder!r} under $PEERS_SRC")
    sys.path.insert(0, str(path.joinpath(*inside)))


def alternative(folder: str) -> None:
    """Put a separately installed wheel under $PEERS_ALT first on the import path."""
    path = Path(os.environ.get("PEERS_ALT", "")) / folder
    if not os.environ.get("PEERS_ALT") or not path.is_dir():
        raise ImportError(f"no folder {folder!r} under $PEERS_ALT")
    sys.path.insert(0, str(path))


def stub(name: str, **attributes) -> None:
    """An importable stand-in for a module that the measured code imports but does not use here."""
    try:
        importlib.import_module(name)
        return
    except ImportError:
        pass
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    if "." in name:
        parent, _, leaf = name.rpartition(".")
        stub(parent)
        setattr(sys.modules[parent], leaf, module)


def package(name: str, *inside: str) -> None:
    """Import ``name`` from a folder under $PEERS_SRC without running its ``__init__``, ahead of an installed one."""
    path = Path(os.environ.get("PEERS_SRC", "")).joinpath(*inside)
    if not os.environ.get("PEERS_SRC") or not path.is_dir():
        raise ImportError(f"no folder {'/'.join(inside)!r} under $PEERS_SRC")
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [str(path)]


def old_numpy() -> None:
    """The aliases that numpy 1.24 dropped and older trackers still use."""
    for name, kind in (("float", float), ("int", int), ("bool", bool)):
        if name not in vars(np):
            setattr(np, name, kind)


def rows5(xyxy, scores):
    out = np.empty((len(xyxy), 5))
    out[:, :4] = xyxy
    out[:, 4] = scores
    return out


def by_rows5(update) -> Step:
    """For trackers with ``update((N, 5)) -> (M, >=5)`` whose column 4 is the id."""

    def step(xyxy, scores, embeddings):
        out = update(rows5(xyxy, scores))
        return out[:, 4].astype(np.int64), out[:, :4]

    return step


def from_tracks(tracks, box):
    if not tracks:
        return np.empty(0, np.int64), np.empty((0, 4))
    return np.array([t.track_id for t in tracks]), np.array([box(t) for t in tracks])


# -------------------------------------------------------------------------------------------- the cost of the harness
@adapter("(copy only)", "harness", "numpy")
def null():
    return by_rows5(lambda d: d)


# --------------------------------------------------------------------------------------------------------------- SORT
@adapter("abewley/sort", "SORT", "Python, filterpy, lap", reference=True)
def sort_reference():
    source("sort")
    import matplotlib

    use, matplotlib.use = matplotlib.use, lambda *a, **k: None  # it asks for a window toolkit
    stub("skimage", io=None)
    from sort import Sort

    matplotlib.use = use
    return by_rows5(Sort(max_age=1, min_hits=3, iou_threshold=0.3).update)


@adapter("pyxtrackers SORT", "SORT", "Cython/C, float64, lapjv")
def sort_pyx():
    from pyxtrackers import Sort

    return by_rows5(Sort(max_age=1, min_hits=3, iou_threshold=0.3).update)


def _ioutrack(folder, kind, **options):
    alternative(folder)
    import ioutrack

    tracker = getattr(ioutrack, kind)(**options)
    return by_rows5(lambda d: tracker.update(d, return_all=False))


@adapter("ioutrack SORT", "SORT", "Rust, float32, lapjv")
def sort_ioutrack():
    return _ioutrack("ioutrack", "Sort", max_age=1, min_hits=3, iou_threshold=0.3)


@adapter("ioutrack-rs SORT", "SORT", "Rust, float32, lapjv")
def sort_ioutrack_rs():
    return _ioutrack("ioutrack-rs", "Sort", max_age=1, min_hits=3, iou_threshold=0.3)


def _supervision_update(update):
    import supervision as sv

    def step(xyxy, scores, embeddings):
        out = update(sv.Detections(xyxy=xyxy, confidence=scores, class_id=np.zeros(len(xyxy), int)))
        if len(out) == 0:
            return np.empty(0, np.int64), np.empty((0, 4))
        keep = out.tracker_id >= 0
        return out.tracker_id[keep], out.xyxy[keep]

    return step


@adapter("trackers SORT", "SORT", "Python, numpy, scipy")
def sort_trackers():
    from trackers import SORTTracker

    return _supervision_update(
        SORTTracker(lost_track_buffer=1, track_activation_threshold=0.0, minimum_consecutive_frames=3).update
    )


# ----------------------------------------------------------------------------------------------------------- DeepSORT
@adapter("nwojke/deep_sort", "DeepSORT", "Python, numpy, scipy", reference=True, embeddings=True)
def deepsort_reference():
    source("deep_sort")
    from deep_sort.detection import Detection
    from deep_sort.nn_matching import NearestNeighborDistanceMetric
    from deep_sort.tracker import Tracker

    tracker = Tracker(NearestNeighborDistanceMetric("cosine", 0.2, 100), max_age=30)

    def step(xyxy, scores, embeddings):
        tlwh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], 1)
        tracker.predict()
        tracker.update([Detection(b, s, e) for b, s, e in zip(tlwh, scores, embeddings)])
        return from_tracks(
            [t for t in tracker.tracks if t.is_confirmed() and t.time_since_update < 1], lambda t: t.to_tlbr()
        )

    return step


@adapter("deep-sort-realtime", "DeepSORT", "Python, numpy, scipy", embeddings=True)
def deepsort_realtime():
    from deep_sort_realtime.deepsort_tracker import DeepSort

    tracker = DeepSort(max_age=30, nn_budget=100, embedder=None)

    def step(xyxy, scores, embeddings):
        tlwh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], 1)
        tracks = tracker.update_tracks([(b, s, 0) for b, s in zip(tlwh, scores)], embeds=list(embeddings))
        tracks = [t for t in tracks if t.is_confirmed() and t.time_since_update < 1]
        if not tracks:
            return np.empty(0, np.int64), np.empty((0, 4))
        return np.array([int(t.track_id) for t in tracks]), np.array([t.to_ltrb() for t in tracks])

    return step


# ---------------------------------------------------------------------------------------------------------- ByteTrack
@adapter("ByteTrack (official)", "ByteTrack", "Python, numpy, lap, cython_bbox", reference=True)
def byte_reference():
    package("yolox", "ByteTrack", "yolox")  # its own __init__ imports the detector
    package("yolox.tracker", "ByteTrack", "yolox", "tracker")
    old_numpy()
    stub("torch.nn.functional")
    from yolox.tracker.byte_tracker import BYTETracker

    tracker = BYTETracker(SimpleNamespace(track_thresh=0.5, match_thresh=0.8, track_buffer=30, mot20=False))

    def step(xyxy, scores, embeddings):
        return from_tracks(tracker.update(rows5(xyxy, scores), (1080, 1920), (1080, 1920)), lambda t: t.tlbr)

    return step


@adapter("pyxtrackers ByteTrack", "ByteTrack", "Cython/C, float64, lapjv")
def byte_pyx():
    from pyxtrackers import BYTETracker

    return by_rows5(BYTETracker(track_thresh=0.5, match_thresh=0.8, track_buffer=30).update)


def _byte_ioutrack(folder):
    return _ioutrack(
        folder,
        "ByteTrack",
        max_age=30,
        min_hits=2,
        iou_threshold=0.2,
        init_tracker_min_score=0.6,
        high_score_threshold=0.5,
        low_score_threshold=0.1,
    )


@adapter("ioutrack ByteTrack", "ByteTrack", "Rust, float32, lapjv")
def byte_ioutrack():
    return _byte_ioutrack("ioutrack")


@adapter("ioutrack-rs ByteTrack", "ByteTrack", "Rust, float32, lapjv")
def byte_ioutrack_rs():
    return _byte_ioutrack("ioutrack-rs")


@adapter("supervision ByteTrack", "ByteTrack", "Python, numpy, scipy")
def byte_supervision():
    alternative("supervision")  # a release that still has it (0.26)
    import supervision as sv

    return _supervision_update(
        sv.ByteTrack(track_activation_threshold=0.5, lost_track_buffer=30).update_with_detections
    )


@adapter("trackers ByteTrack", "ByteTrack", "Python, numpy, scipy")
def byte_trackers():
    from trackers import ByteTrackTracker

    return _supervision_update(
        ByteTrackTracker(
            lost_track_buffer=30,
            track_activation_threshold=0.6,
            minimum_iou_threshold=0.2,
            high_conf_det_threshold=0.5,
        ).update
    )


class _Results:
    """The part of an ultralytics result that its trackers read."""

    def __init__(self, xyxy, conf):
        self.xyxy, self.conf, self.cls = xyxy, conf, np.zeros(len(conf))

    @property
    def xywh(self):
        return np.concatenate(
            [(self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]], 1
        )

    def __len__(self):
        return len(self.conf)

    def __getitem__(self, mask):
        return _Results(self.xyxy[mask], self.conf[mask])


def _ultralytics(module, kind, **options):
    options = {
        "track_high_thresh": 0.5,
        "track_low_thresh": 0.1,
        "new_track_thresh": 0.6,
        "track_buffer": 30,
        "match_thresh": 0.8,
        "fuse_score": True,
    } | options
    tracker = getattr(importlib.import_module(f"ultralytics.trackers.{module}"), kind)(
        SimpleNamespace(**options)
    )

    def step(xyxy, scores, embeddings):
        out = tracker.update(_Results(xyxy, scores), None, embeddings if options.get("with_reid") else None)
        if len(out) == 0:
            return np.empty(0, np.int64), np.empty((0, 4))
        return out[:, 4].astype(np.int64), out[:, :4]

    return step


@adapter("ultralytics ByteTrack", "ByteTrack", "Python, numpy, lap")
def byte_ultralytics():
    return _ultralytics("byte_tracker", "BYTETracker")


def _boxmot(module, kind, image=None, embed=False, **options):
    tracker = getattr(importlib.import_module(f"boxmot.trackers.box.{module}"), kind)(**options)
    if embed:
        import torch
        from boxmot.structures import Boxes, Detections

        def step(xyxy, scores, embeddings):
            detections = Detections(
                geometry=Boxes(torch.from_numpy(xyxy.astype(np.float32))),
                scores=torch.from_numpy(scores.astype(np.float32)),
                class_ids=torch.zeros(len(scores), dtype=torch.int64),
                sample_id="f",
                embeddings=torch.from_numpy(embeddings),
            )
            out = tracker.update(detections, image)
            return out.track_ids.numpy(), out.geometry.values.numpy()

        return step

    def step(xyxy, scores, embeddings):
        rows = np.zeros((len(xyxy), 6), np.float32)
        rows[:, :4] = xyxy
        rows[:, 4] = scores
        out = tracker.update(rows, image)
        if len(out) == 0:
            return np.empty(0, np.int64), np.empty((0, 4))
        return out[:, 4].astype(np.int64), out[:, :4]

    return step


def _boxmot_native(name, options, embed=False):
    """Its C++ trackers by their binding to numpy, which needs no torch; the wrapper that does costs a little more."""
    alternative("boxmot")
    defaults = importlib.import_module("boxmot.trackers.config").load_tracker_defaults(name)
    library = getattr(importlib.import_module(f"boxmot.native.trackers.{name}"), f"get_{name}_library")()
    handle = library.create(defaults | options)

    def step(xyxy, scores, embeddings):
        out = library.update(
            handle,
            geometry=xyxy.astype(np.float32),
            scores=scores.astype(np.float32),
            class_ids=np.zeros(len(scores), np.int64),
            detection_indices=np.arange(len(scores)),
            embeddings=embeddings if embed else None,
            image=None,
        )
        return out.track_ids, out.geometry

    return step


BYTE = {"min_conf": 0.1, "track_thresh": 0.5, "match_thresh": 0.8, "track_buffer": 30, "frame_rate": 30}


@adapter("boxmot ByteTrack", "ByteTrack", "Python, numpy, lap")
def byte_boxmot():
    return _boxmot("bytetrack.tracker", "ByteTrack", **BYTE)


@adapter("boxmot C++ ByteTrack", "ByteTrack", "C++, Eigen, ctypes")
def byte_boxmot_native():
    return _boxmot_native("bytetrack", BYTE)


# ------------------------------------------------------------------------------------------------------------ OC-SORT
OC = {"det_thresh": 0.3, "max_age": 30, "min_hits": 3, "iou_threshold": 0.3, "delta_t": 3, "inertia": 0.2}


@adapter("OC_SORT (official)", "OC-SORT", "Python, numpy, lap", reference=True)
def oc_reference():
    package("trackers", "OC_SORT", "trackers")  # the name of a PyPI package too
    old_numpy()
    from trackers.ocsort_tracker.ocsort import OCSort

    tracker = OCSort(**OC)
    return by_rows5(lambda d: tracker.update(d, (1080, 1920), (1080, 1920)))


@adapter("pyxtrackers OC-SORT", "OC-SORT", "Cython/C, float64, lapjv")
def oc_pyx():
    from pyxtrackers import OCSort

    return by_rows5(OCSort(**OC).update)


@adapter("trackers OC-SORT", "OC-SORT", "Python, numpy, scipy")
def oc_trackers():
    from trackers import OCSORTTracker

    return _supervision_update(OCSORTTracker(lost_track_buffer=30, high_conf_det_threshold=0.3).update)


@adapter("ultralytics OC-SORT", "OC-SORT", "Python, numpy, lap")
def oc_ultralytics():
    return _ultralytics(
        "oc_sort", "OCSORT", track_high_thresh=0.3, new_track_thresh=0.3, delta_t=3, inertia=0.2
    )


@adapter("boxmot OC-SORT", "OC-SORT", "Python, numpy, lap")
def oc_boxmot():
    return _boxmot("ocsort.tracker", "OcSort", **OC)


@adapter("boxmot C++ OC-SORT", "OC-SORT", "C++, Eigen, ctypes")
def oc_boxmot_native():
    return _boxmot_native("ocsort", OC | {"max_obs": OC["max_age"] + 5})


# ----------------------------------------------------------------------------------------------------------- BoT-SORT
@adapter(
    "BoT-SORT (official)", "BoT-SORT", "Python, numpy, lap, cython_bbox", reference=True, embeddings=True
)
def bot_reference():
    source("BoT-SORT")
    old_numpy()
    stub("fast_reid.fast_reid_interfece", FastReIDInterface=lambda *a: SimpleNamespace(inference=None))
    from tracker.bot_sort import BoTSORT

    tracker = BoTSORT(
        SimpleNamespace(
            track_high_thresh=0.5,
            track_low_thresh=0.1,
            new_track_thresh=0.6,
            track_buffer=30,
            match_thresh=0.8,
            proximity_thresh=0.5,
            appearance_thresh=0.25,
            with_reid=True,
            fast_reid_config="",
            fast_reid_weights="",
            device="cpu",
            cmc_method="none",
            name="",
            ablation=False,
            mot20=False,
        )
    )

    def step(xyxy, scores, embeddings):
        features = embeddings[scores > 0.5]
        tracker.encoder.inference = lambda image, boxes: features
        return from_tracks(tracker.update(rows5(xyxy, scores), None), lambda t: t.tlbr)

    return step


@adapter("ultralytics BoT-SORT", "BoT-SORT", "Python, numpy, lap", embeddings=True)
def bot_ultralytics():
    return _ultralytics(
        "bot_sort",
        "BOTSORT",
        gmc_method="none",
        proximity_thresh=0.5,
        appearance_thresh=0.75,
        with_reid=True,
        model="auto",
    )


@adapter("trackers BoT-SORT (no ReID)", "BoT-SORT", "Python, numpy, scipy")
def bot_trackers():
    from trackers import BoTSORTTracker

    return _supervision_update(
        BoTSORTTracker(
            lost_track_buffer=30,
            track_activation_threshold=0.6,
            high_conf_det_threshold=0.5,
            enable_cmc=False,
        ).update
    )


BOT = {"track_high_thresh": 0.5, "track_low_thresh": 0.1, "new_track_thresh": 0.6, "use_cmc": False}


@adapter("boxmot BoT-SORT", "BoT-SORT", "Python, numpy, lap", embeddings=True)
def bot_boxmot():
    return _boxmot("botsort.tracker", "BotSort", embed=True, **BOT)


@adapter("boxmot C++ BoT-SORT", "BoT-SORT", "C++, Eigen, ctypes", embeddings=True)
def bot_boxmot_native():
    return _boxmot_native("botsort", BOT, embed=True)


# -------------------------------------------------------------------------------------- other algorithms, for the speed
@adapter("norfair", "other", "Python, numpy, greedy")
def other_norfair():
    from norfair import Detection, Tracker

    tracker = Tracker(
        distance_function="iou", distance_threshold=0.7, hit_counter_max=15, initialization_delay=2
    )

    def step(xyxy, scores, embeddings):
        detections = [Detection(b.reshape(2, 2), np.array([s, s])) for b, s in zip(xyxy, scores)]
        tracks = [t for t in tracker.update(detections) if t.live_points.any()]
        if not tracks:
            return np.empty(0, np.int64), np.empty((0, 4))
        return np.array([t.id for t in tracks]), np.array([t.estimate.reshape(4) for t in tracks])

    return step


@adapter("motpy", "other", "Python, filterpy, scipy")
def other_motpy():
    from motpy import Detection, MultiObjectTracker

    tracker = MultiObjectTracker(dt=1 / 30)
    numbers: dict[str, int] = {}

    def step(xyxy, scores, embeddings):
        tracks = tracker.step([Detection(b, s) for b, s in zip(xyxy, scores)])
        if not tracks:
            return np.empty(0, np.int64), np.empty((0, 4))
        return (
            np.array([numbers.setdefault(t.id, len(numbers)) for t in tracks]),
            np.array([t.box for t in tracks]),
        )

    return step


@adapter("boxmot SFSORT", "other", "Python, numpy, lap")
def other_sfsort():
    return _boxmot("sfsort.tracker", "SFSORT", image=np.zeros((1080, 1920, 3), np.uint8))


@adapter("boxmot StrongSORT", "DeepSORT", "Python, numpy, scipy", embeddings=True)
def other_strongsort():
    return _boxmot("strongsort.tracker", "StrongSort", image=np.zeros((1080, 1920, 3), np.uint8), embed=True)


# --------------------------------------------------------------------------------- what is reachable, see prototype.py
def _prototype(kind):
    prototype = importlib.import_module("prototype")
    tracker = getattr(prototype, kind)(max_age=1, min_hits=3, iou_threshold=0.3)
    return lambda xyxy, scores, embeddings: tracker.update(xyxy)


adapter("prototype SORT, numpy", "SORT", "numpy, scipy, float64")(lambda: _prototype("NumpySort"))


@adapter("prototype SORT, numba", "SORT", "numba, float64")
def prototype_numba():
    importlib.import_module("numba")
    step = _prototype("NumbaSort")
    importlib.import_module("prototype").NumbaSort().update(np.array([[0.0, 0.0, 1.0, 1.0]]))  # compiles
    return step


# ---------------------------------------------------------------------------------------------------- our own library
def _mot(kind: str, core: str = "numpy", **options) -> Step:
    """The one place that knows the interface of ``mot.trackers``."""
    from mot import kernels
    from mot.structures import Detections
    from mot.trackers import TRACKERS

    if core == "numba" and not kernels.available():
        raise ImportError("no numba")
    kernels.use(core)
    config, tracker = TRACKERS[kind]
    update = tracker(config(**options)).update

    def step(xyxy, scores, embeddings):
        tracks = update(Detections(xyxy=xyxy, scores=scores, embeddings=embeddings))
        return tracks.ids, tracks.xyxy

    return step


# as the references above: DeepSORT without its script's threshold and without predicted rows
for _core in ("numpy", "numba"):
    _fast = " [fast]" if _core == "numba" else ""
    adapter(f"mot SORT{_fast}", "SORT", f"mot, {_core}")(lambda core=_core: _mot("SORT", core))
    adapter(f"mot DeepSORT{_fast}", "DeepSORT", f"mot, {_core}", embeddings=True)(
        lambda core=_core: _mot("DeepSORT", core, min_confidence=0.0, max_predicted=0)
    )
    adapter(f"mot ByteTrack{_fast}", "ByteTrack", f"mot, {_core}")(lambda core=_core: _mot("ByteTrack", core))
    adapter(f"mot OC-SORT{_fast}", "OC-SORT", f"mot, {_core}")(
        lambda core=_core: _mot("OCSORT", core, score_threshold=OC["det_thresh"])
    )
    adapter(f"mot BoT-SORT{_fast}", "BoT-SORT", f"mot, {_core}", embeddings=True)(
        lambda core=_core: _mot("BoTSORT", core, high_threshold=0.5, new_threshold=0.6, with_reid=True)
    )
