"""The model that the engine is held against stays small enough to be read at once, or it would need one itself."""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "faults" / "reference_model.py"


def test_the_reference_model_has_at_most_150_lines():
    lines = [line for line in MODEL.read_text(encoding="utf-8").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("from ", "import ", '"""'))]
    assert len(said) <= 150
