"""The README's commands and names exist."""

import re
from pathlib import Path

from mot.cli.eval import _parser as _eval_parser
from mot.cli.track import _parser
from mot.resources import shipped
from mot.trackers import TRACKERS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
_BEFORE, _, _REST = README.partition("### Coming from PaddleDetection")
OURS = _BEFORE + _REST.partition("\n## ")[2]  # without the flags of others


def test_every_flag_and_config_in_the_readme_exists() -> None:
    parsers = (_parser(), _eval_parser())
    known = {option for one in parsers for action in one._actions for option in action.option_strings}
    used = set(re.findall(r"(--[a-z][a-z-]+)", OURS))
    others = {"--full"}  # of tools/check
    assert used - others <= known
    configs = set(re.findall(r"\b([a-z0-9_]+\.yml)\b", README))
    assert configs <= {path.name for path in shipped("configs").glob("*.yml")}
    assert all(f"| `{name}` |" in README for name in TRACKERS)


def test_every_flag_is_in_the_readme() -> None:
    known = {
        option
        for one in (_parser(), _eval_parser())
        for action in one._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    assert known - {"--help", "--version"} <= set(re.findall(r"(--[a-z][a-z-]+)", README))
