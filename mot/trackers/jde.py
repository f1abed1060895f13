"""The association of JDE and FairMOT, whose networks find boxes and embeddings together.

JDE: Wang et al., ECCV 2020, arXiv:1909.12605; official code Zhongdao/Towards-Realtime-MOT.
FairMOT: Zhang et al., IJCV 2021, arXiv:2004.01888; official code ifzhang/FairMOT. One class, two configs: FairMOT
measures cosine instead of Euclidean distance, has a tighter limit, and confirms the tracks of the first frame.

Identical to the official codes: the filter of DeepSORT, the smoothed embedding of a track, its distance mixed
with the motion's behind a gate, the two steps by IoU after it, limits inside the solve, the life of a track
(`bytefamily` tells it), and that a track found again keeps the score that it had.
Different on purpose: ids have no gaps; a row says which detection made it; an embedding of length 0 is far
from all instead of NaN. Embeddings and distances are float64, as in the reference runs.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from mot import boxes, motion
from mot.assignment import Matches, Pairs, join
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import bytefamily as family
from mot.trackers import gate
from mot.trackers.bytefamily import XYAH, Array, Mask
from mot.trackers.table import CONFIRMED, TENTATIVE, Rows, State


@dataclass(frozen=True)
class JDEConfig:
    """Parameters of the association; defaults are JDE's. `FAIRMOT` holds FairMOT's.

    Attributes:
        score_threshold: detections must be above to be used (official: conf_thres).
        metric: distance of embeddings, of length 1 each.
        match_threshold: greatest cost of a match by look and motion.
        motion_weight: share of the squared Mahalanobis distance in that cost; the rest is the look's.
        smoothing: weight of a track's past look against the newest one.
        iou_match_threshold: greatest 1 - IoU of a match of a confirmed track that its look did not find.
        tentative_match_threshold: greatest 1 - IoU of the match that confirms a track.
        track_buffer: frames a track outlives its last detection, at 30 frames per second; in a config
            also seconds, as in `5s`, which are the same at every rate.
        frame_rate: frames per second of the source, by which `track_buffer` is scaled; None: 30, or what
            the source says where `mot.Tracker` knows it.
        confirm_first_frame: tracks of the first frame need no second detection.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    score_threshold: Annotated[float, Between(0, 1)] = 0.5
    metric: Literal["euclidean", "cosine"] = "euclidean"
    match_threshold: Annotated[float, Between(0, 2)] = 0.7
    motion_weight: Annotated[float, Between(0, 1)] = 0.02
    smoothing: Annotated[float, Between(0, 1)] = 0.9
    iou_match_threshold: Annotated[float, Between(0, 1)] = 0.5
    tentative_match_threshold: Annotated[float, Between(0, 1)] = 0.7
    track_buffer: Annotated[int, AtLeast(0), OrSeconds()] = 30
    frame_rate: Annotated[float, AtLeast(0.001)] | None = None
    confirm_first_frame: bool = False
    class_aware: bool = False


FAIRMOT = JDEConfig(score_threshold=0.4, metric="cosine", match_threshold=0.4, confirm_first_frame=True)


class JDETracker:
    """Look and motion first, overlap for the rest."""

    def __init__(self, config: JDEConfig | None = None) -> None:
        self.config = config or JDEConfig()
        self._table = family.make_table("JDETracker")
        self._looks = family.Looks()

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen, with embeddings.
            dt: frames since the last call, where some were skipped; see `motion.steps`.

        Raises:
            InputError: embeddings are missing, or of another width than before; the state is unchanged.
        """
        steps, config, table = motion.steps(dt), self.config, self._table
        looks = family.unit_looks(detections, self._looks, "JDETracker")
        at_once = config.confirm_first_frame and table.updates == 0
        assigned, used, _ = family.bands(detections, config.score_threshold, config.score_threshold)
        for step in steps:
            family.predict(table, XYAH, step)
        matches = self._match(detections, looks, used)
        family.see(table, XYAH, matches, detections, renew_found=False)
        self._looks.add(matches.rows, looks[matches.columns], config.smoothing)
        left = used.nonzero()[0]
        stay, new = family.prune(table, XYAH, config, left, detections, assigned)
        self._looks.keep(stay)
        family.spawn(table, XYAH, new, detections, TrackState.CONFIRMED if at_once else TrackState.TENTATIVE)
        self._looks.append(looks[new])
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict() | self._looks.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        looks = family.Looks()
        looks.load_state_dict(state)
        self._table.load_state_dict(state)
        self._looks = looks

    def _match(self, detections: Detections, looks: Array, used: Mask) -> Matches:
        """Known tracks by look and motion, those not lost by IoU, tentative ones with what is left."""
        table, config = self._table, self.config
        tentative = table["state"] == TENTATIVE
        known, aware = ~tentative, config.class_aware
        first = family.match(self._look_pairs(known, used, detections, looks), known, used)
        known &= table["state"] == CONFIRMED
        pairs = family.near(table, XYAH, used.nonzero()[0], detections, aware)
        second = family.match_overlap(pairs, known, used, config.iou_match_threshold)
        third = family.match_overlap(pairs, tentative, used, config.tentative_match_threshold)
        return join(first, second, third)

    def _look_pairs(self, tracks: Mask, used: Mask, detections: Detections, looks: Array) -> Pairs:
        """Pairs that can be; worth the limit - cost, cost = (1 - w) * look + w * motion, w the motion's weight."""
        rows, det, config = tracks.nonzero()[0], used.nonzero()[0], self.config
        bank, weight = self._table["filter"][rows], config.motion_weight
        noise = motion.xyah_measurement(bank[:, motion.X, 3])
        near = gate.within_reach(bank, boxes.xyxy_to_xyah(detections.xyxy[det]), noise)
        pairs = Pairs(rows[near.rows], det[near.columns], near.weight)
        if config.class_aware:
            pairs = pairs.where(self._table["labels"][pairs.rows] == detections.labels[pairs.columns])
        look = self._looks.distances(pairs.rows, looks[pairs.columns], config.metric)
        cost = (1.0 - weight) * look + weight * pairs.weight
        return pairs._replace(weight=config.match_threshold - cost)

    def _report(self, assigned: Rows) -> Tracks:
        shown = (self._table["state"] == CONFIRMED).nonzero()[0]
        return self._table.report(shown, family.xyxy_of(self._table, XYAH, shown), assigned)
