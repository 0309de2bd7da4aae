"""What the tests of all three rooms share."""

import pytest
import sample_assignment

from minisparse.classroom.handing_out import manifest


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """Give the small assignment, with all that belongs to it."""
    return sample_assignment.material(tmp_path_factory.mktemp("assignment"))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Put the small assignment in the place of all others."""
    assignment = sample_assignment.write(tmp_path / "shelf")
    monkeypatch.setattr(manifest, "ASSIGNMENTS", assignment.folder.parent)
    return assignment
