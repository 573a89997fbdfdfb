from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.sandbox import view as views
from assay.sandbox.view import PackageMissing, Packages, View, interpreter, plan_view, readable


def test_the_interpreter_is_the_real_one_and_runs():
    path = interpreter()
    assert path == os.path.realpath(path)
    code = "import sys; print(sys.version, sys.prefix)"
    out = subprocess.run([path, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == f"{sys.version} {sys.base_prefix}\n"


def test_the_plan_holds_python_and_no_installed_package():
    view = plan_view()
    library = os.path.realpath(Path(os.__file__).parent)
    assert library in view.folders
    assert interpreter() in view.files or any(interpreter().startswith(f"{folder}/") for folder in view.folders)
    assert view.packages == {}
    whole, listed = readable(view, expand=True)
    shown = [*whole, *view.files]
    assert not [path for path in shown if Path(path).name in views.SITE_FOLDERS]
    for path in whole:
        for name in views.SITE_FOLDERS:
            assert not (Path(path) / name).exists()
    assert str(Path(library) / "json") in whole or library in whole
    assert not set(listed) & set(whole)


def test_nothing_of_the_home_or_of_etc_but_the_loaders_cache():
    view = plan_view()
    paths = [*view.folders, *view.files]
    assert [path for path in paths if path.startswith("/etc")] in ([], ["/etc/ld.so.cache"])
    for folder in ("/", "/usr", "/home", "/root", "/tmp", "/proc", str(Path.home())):
        assert folder not in paths


def test_a_plan_survives_json():
    import json

    view = plan_view(["pytest"])
    again = View.from_json(json.loads(json.dumps(view.to_json())))
    assert vars(again) == vars(view)


def test_an_allowed_package_is_found_with_its_libraries_and_can_be_taken_out_again():
    view = plan_view(["pytest", "json"])
    assert list(view.packages) == ["pytest"]  # json is the standard library's
    origin, folder = view.packages["pytest"]
    assert folder
    place = os.path.realpath(Path(origin).parent)
    assert place in view.folders
    assert Path(place).parent.name in views.SITE_FOLDERS
    assert place not in view.without(["pytest"]).folders
    assert view.without(["pytest"]).packages == {}


def test_shared_libraries_beside_a_package_come_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("numbers_x", "numbers_x.libs"):
        (tmp_path / name).mkdir()
    (tmp_path / "numbers_x" / "__init__.py").write_text("")
    (tmp_path / "single_x.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    view = plan_view(["numbers_x", "single_x"])
    assert {str(tmp_path / "numbers_x"), str(tmp_path / "numbers_x.libs")} <= set(view.folders)
    assert str(tmp_path / "single_x.py") in view.files


@pytest.mark.parametrize("name", ["no_such_package", "os.path", "", "../x"])
def test_a_package_that_is_not_there_is_named(name: str):
    with pytest.raises(PackageMissing) as caught:
        plan_view([name])
    assert caught.value.name == name


def tree(top: Path, *files: str) -> None:
    for name in files:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def test_a_folder_with_something_masked_below_is_shown_by_its_entries(tmp_path: Path):
    tree(tmp_path, "a", "b/c", "python3/d", "python3/site-packages/answers", "python3/deep/e")
    view = View([str(tmp_path)], masked=[str(tmp_path / "python3/site-packages")])
    whole, listed = readable(view, expand=True)
    assert sorted(whole) == [str(tmp_path / name) for name in ("a", "b", "python3/d", "python3/deep")]
    assert sorted(listed) == [str(tmp_path), str(tmp_path / "python3")]
    assert readable(view, expand=False) == ([str(tmp_path)], [])


def test_masks_below_bound_folders_are_found_and_packages_in_them_kept(tmp_path: Path):
    tree(tmp_path, "lib/python3/dist-packages/numpy/x", "lib/python3/dist-packages/answers/y", "lib/site-packages/z")
    wanted = [str(tmp_path / "lib"), str(tmp_path / "lib/python3/dist-packages/numpy"), str(tmp_path / "lib/python3")]
    view = views._gather(wanted, {})
    assert view.folders == (str(tmp_path / "lib"), str(tmp_path / "lib/python3/dist-packages/numpy"))
    assert view.masked == (str(tmp_path / "lib/python3/dist-packages"), str(tmp_path / "lib/site-packages"))


def test_links_on_the_way_are_kept_and_their_ends_bound(tmp_path: Path):
    tree(tmp_path, "real/lib/file")
    (tmp_path / "link").symlink_to("real/lib")
    (tmp_path / "second").symlink_to(tmp_path / "link")
    view = views._gather([str(tmp_path / "second" / "file"), str(tmp_path / "link")], {})
    assert view.folders == (str(tmp_path / "real/lib"),)
    assert view.files == ()
    assert view.links == {str(tmp_path / "second"): str(tmp_path / "link"), str(tmp_path / "link"): "real/lib"}


def test_links_that_go_round_are_an_error(tmp_path: Path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        views._gather([str(tmp_path / "one")], {})


def test_links_among_the_entries_are_not_followed(tmp_path: Path):
    tree(tmp_path, "bound/site-packages/x", "outside/secret")
    (tmp_path / "bound/linked").symlink_to(tmp_path / "outside")
    view = View([str(tmp_path / "bound")], masked=[str(tmp_path / "bound/site-packages")])
    assert readable(view, expand=True)[0] == []


def test_the_finder_finds_what_is_allowed_without_listing_its_folder(tmp_path: Path):
    tree(tmp_path, "allowed_x/__init__.py", "allowed_x/inner.py", "module_x.py", "other_x.py")
    packages = {
        "allowed_x": (str(tmp_path / "allowed_x/__init__.py"), True),
        "module_x": (str(tmp_path / "module_x.py"), False),
        "other_x": (str(tmp_path / "other_x.py"), False),
    }
    finder = Packages(View([], packages=packages), ["allowed_x", "module_x", "unknown_x"])
    package, module = finder.find_spec("allowed_x"), finder.find_spec("module_x")
    assert package is not None and package.submodule_search_locations == [str(tmp_path / "allowed_x")]
    assert module is not None and module.submodule_search_locations is None
    for name in ("other_x", "unknown_x", "allowed_x.inner", "os"):
        assert finder.find_spec(name) is None
