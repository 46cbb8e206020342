"""What labels call images, against a search through all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.imagenames import ImageNames, names_of, stem_of

PARTS = st.sampled_from(["a", "b", "c.d"])
PATHS = st.lists(
    st.builds(
        lambda folders, name: "/".join(["", *folders, name]),
        st.lists(PARTS, max_size=3),
        st.sampled_from(["1.png", "1.tif", "2.png"]),
    ),
    min_size=1,
    max_size=12,
)


@given(PATHS)
def test_each_path_has_a_name_of_its_own_and_is_found_by_it(paths: list[str]) -> None:
    called = dict(zip(paths, names_of(paths), strict=True))
    assert len(set(called.values())) == len(set(paths))
    names = ImageNames(called.values())
    assert all(names.exact(f"/data{path}") == name and path.endswith(name) for path, name in called.items())


@given(PATHS)
def test_folders_are_named_only_where_a_name_is_there_twice(paths: list[str]) -> None:
    last = [path.rsplit("/", 1)[-1] for path in set(paths)]
    for path, name in zip(paths, names_of(paths), strict=True):
        if last.count(path.rsplit("/", 1)[-1]) == 1:
            assert "/" not in name


@given(
    st.lists(st.sampled_from(["1.png", "a/1.png", "b/1.tif", "a/b/2.png", "2", "c.d/3"]), max_size=5), PATHS
)
def test_the_longest_end_is_found(names: list[str], paths: list[str]) -> None:
    known = ImageNames(names)
    for path in paths:
        ends = [name for name in names if f"/{path}".endswith(f"/{name}")]
        stems = [stem_of(name) for name in names if f"/{stem_of(path)}".endswith(f"/{stem_of(name)}")]
        assert known.exact(path) == max(ends, key=len, default=None)
        assert known.by_stem(path) == max(stems, key=len, default=None)
        assert (path in known) == bool(ends or stems)
