"""The networks by the names that configs use."""

from __future__ import annotations

from mot.models.fairmot_dla34 import FAIRMOT_DLA34
from mot.models.fairmot_yolov5s import FAIRMOT_YOLOV5S
from mot.models.jde_darknet53 import JDE
from mot.models.mobilenetv2 import MOBILENETV2
from mot.models.osnet import OSNET
from mot.models.pcb_pyramid_r101 import PCB_PYRAMID_R101
from mot.models.pplcnet import PPLCNET
from mot.models.resnet import RESNET
from mot.models.spec import ModelSpec
from mot.models.yolov3 import YOLOV3
from mot.models.yolox import YOLOX

MODELS: dict[str, ModelSpec] = {
    **YOLOV3,
    **YOLOX,
    **JDE,
    **FAIRMOT_DLA34,
    **FAIRMOT_YOLOV5S,
    **MOBILENETV2,
    **OSNET,
    **PPLCNET,
    **PCB_PYRAMID_R101,
    **RESNET,
}
