"""A contract that breaks its clients is refused, unless a commit says that it is meant."""

import shutil
from pathlib import Path

import pytest

from mesh.compiler import CompileError
from mesh.compiler.buf import TRAILER, breaking, lint
from tests.mesh.histories import Commit, commit_contracts, git

ROOT = Path(__file__).resolve().parents[2]

CONTRACT = """
syntax = "proto3";
package zoco.sample.v1;
// A thing.
message Sample {
  string id = 1;
  string name = 2;
}
"""
BROKEN = CONTRACT.replace("string name = 2", "string title = 2")
EXTENDED = CONTRACT.replace("}\n", "  string colour = 3;\n}\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    git(tmp_path, "init", "--initial-branch=main")
    return tmp_path


@pytest.fixture
def commit(project: Path) -> Commit:
    def make(contract: str, message: str) -> None:
        edit(project, contract)
        commit_contracts(project, message)

    return make


def edit(project: Path, contract: str) -> None:
    directory = project / "protos/zoco/sample/v1"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sample.proto").write_text(contract)


def test_the_first_contract_has_nothing_to_break(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    assert breaking(project) is None


def test_a_break_is_refused_before_its_commit(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    edit(project, BROKEN)
    with pytest.raises(CompileError, match=r'Field "2" .* changed name'):
        breaking(project)


def test_a_break_is_refused_after_its_commit_too(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    commit(BROKEN, "second")
    with pytest.raises(CompileError, match="This breaks clients of"):
        breaking(project)


def test_a_comment_after_a_break_does_not_hide_it(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    commit(BROKEN, "second")
    commit(BROKEN.replace("A thing.", "A thing for sale."), "third")
    with pytest.raises(CompileError, match="This breaks clients of"):
        breaking(project)


def test_a_break_since_the_release_is_seen_behind_later_changes(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    git(project, "tag", "v1.0.0")
    commit(BROKEN, "second")
    commit(BROKEN.replace("}\n", "  string colour = 3;\n}\n"), "third")
    with pytest.raises(CompileError, match=r"This breaks clients of v1\.0\.0"):
        breaking(project)


def test_a_branch_answers_for_all_its_commits(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    git(project, "checkout", "-b", "feature")
    commit(BROKEN, "second")
    commit(BROKEN.replace("}\n", "  string colour = 3;\n}\n"), "third")
    with pytest.raises(CompileError, match="This breaks clients of"):
        breaking(project)


def test_a_break_that_a_commit_names_is_let_through(
    project: Path, commit: Commit, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(CONTRACT, "first")
    commit(BROKEN, f"second\n\n{TRAILER}: nobody reads the name yet")
    assert breaking(project) is not None
    assert "meant: nobody reads the name yet" in capsys.readouterr().err


def test_a_new_field_breaks_nobody(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    edit(project, EXTENDED)
    assert breaking(project) is not None


def test_lint_sees_the_contracts_and_not_what_they_import(project: Path, commit: Commit) -> None:
    commit(CONTRACT, "first")
    assert lint(project) == 1
    edit(project, CONTRACT.replace("string name", "string fullName"))
    with pytest.raises(CompileError, match=r"^zoco/sample/v1/sample\.proto:7:.*lower_snake_case.*$"):
        lint(project)
