from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref import runs, sweep
from pslref.config import SAMPLERS, Config
from pslref.data import Dataset, load
from pslref.sweep.grid import COLUMNS, UNHEEDED, columns

CHOICES = {
    "partition": ["iid", "mild", "severe"],
    "clients": [16, 32, 64],
    "model": ["mlp", "cnn"],
    "hidden": [[64], [128, 64], []],
    "delta": [0, 0.5, 1],
    "remainder": ["short", "even"],
}
grids = st.fixed_dictionaries(
    {"sampler": st.lists(st.sampled_from(SAMPLERS), min_size=1, max_size=3)},
    optional={
        name: st.lists(st.sampled_from(values), min_size=1, max_size=2)
        for name, values in CHOICES.items()
    },
)


@settings(max_examples=30)
@given(grids, st.integers(1, 2))
def test_every_combination_has_one_run_and_every_run_a_combination(given: dict, seeds: int) -> None:
    grid = sweep.checked(given | {"seeds": seeds, "seed": 5})
    rows = [columns(config) for config in sweep.configs(grid)]
    texts = [",".join(map(str, network)) for network in grid["hidden"]]
    values = grid | {"hidden": texts, "seed": range(5, 5 + seeds)}
    first = []
    for combination in product(*(values[name] for name in COLUMNS)):
        wanted = dict(zip(COLUMNS, combination, strict=True))
        matching = [i for i, row in enumerate(rows) if row.items() <= (wanted | unset(row)).items()]
        assert len(matching) == 1
        first += matching
    # In the order of the grid, but for the seeds, which come last.
    seen = [i for i in dict.fromkeys(first) if rows[i]["seed"] == 5]
    assert seen == list(range(0, len(rows), seeds))
    assert len(set(first)) == len(rows)


def unset(row: dict) -> dict:
    return {name: None for name, value in row.items() if value is None}


def test_the_form_in_which_a_value_is_given_does_not_matter() -> None:
    lists = {"clients": [8], "delta": [1], "hidden": [[64, 32]], "sampler": ["lds"]}
    scalars = {"sampler": "lds", "hidden": [64, 32], "delta": 1.0, "clients": 8}
    one, other = (sweep.configs(sweep.checked(given)) for given in (lists, scalars))
    assert [str(columns(config)) for config in one] == [str(columns(config)) for config in other]


OTHERS = {
    "partition": "mild", "clients": 7, "batch_size": 48, "hidden": (5,), "learning_rate": 0.1,
    "momentum": 0.9, "weight_decay": 0.1, "epochs": 2, "remainder": "even", "dtype": "float32",
    "fraction": 0.9, "slowdown": 3.0, "jitter": 0.5, "sample_cost": 0.5, "delta": 0.3,
    "concentration": 0.1, "slack": 0.5, "assign": "balanced",
}  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_heeds_what_it_is_said_to_heed_and_nothing_else(sampler: str) -> None:
    """To the bit: runs that differ in other fields alone may be made once."""
    whole = load("digits")
    first = (array[:300] for array in (whole.x_train, whole.y_train, whole.x_test, whole.y_test))
    dataset = Dataset("first digits", *first, 10)
    base = {"clients": 6, "batch_size": 32, "hidden": (4,), "epochs": 1, "fraction": 0.5}

    def results(**changed: object) -> runs.Results:
        return runs.run(Config(**base | changed), dataset, sampler, 0)

    usual = results()
    found = {name for name, other in OTHERS.items() if results(**{name: other}) != usual}
    assert found == OTHERS.keys() - UNHEEDED[sampler]


def test_a_cnn_has_no_hidden_layers_to_choose() -> None:
    grid = sweep.checked({"model": "cnn", "hidden": [[8], [9]], "sampler": "ugs", "seeds": 1})
    assert [columns(config)["hidden"] for config in sweep.configs(grid)] == [None]


def test_digits_have_no_files_of_which_others_could_be_taken() -> None:
    grid = sweep.checked({"files": ["published", "any"], "sampler": "ugs", "seeds": 1})
    assert [columns(config)["files"] for config in sweep.configs(grid)] == [None]
    grid = sweep.checked(grid | {"dataset": "cifar10"})
    found = [columns(config)["files"] for config in sweep.configs(grid)]
    assert found == ["published", "any"]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("[128, 64]", [[128, 64]]),
        ("[[128, 64], [32]]", [[128, 64], [32]]),
        ("[[], [32]]", [[], [32]]),
        ("[]", [[]]),
    ],
)
def test_a_list_is_one_network_and_a_list_of_lists_several(
    tmp_path: Path, text: str, hidden: list[list[int]]
) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(f'hidden = {text}\nclients = 8\npartition = ["iid", "mild"]\n')
    grid = sweep.checked(sweep.read(file))
    assert grid["hidden"] == hidden
    assert (grid["clients"], grid["partition"]) == ([8], ["iid", "mild"])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("client = 8", "field of the grid = 'client': .*did you mean 'clients'"),
        ("[grid]", "field of the grid = 'grid': must be one of"),
        ("clients = 8,", "grid = .*: must be a TOML file: "),
        ("clients = []", r"clients = \[\]: must be one value or more"),
        ("clients = [8, '9']", "clients = '9': must be a whole number"),
        ("clients = true", "clients = True: must be a whole number"),
        ("clients = [[8]]", r"clients = \[8\]: must be a whole number"),
        ("delta = [0, nan]", "delta = nan: must be a finite number"),
        ("delta = 1979-05-27", "delta = datetime.date.*: must be a finite number"),
        ("seeds = [1, 2]", r"seeds = \[1, 2\]: must be one value$"),
        ("seeds = 1e3", "seeds = 1000.0: must be a whole number"),
        (
            "seeds = 1_000_000_000_000",
            "seeds = 1000000000000: must be a whole number from 1 to 10000",
        ),
        ("sampler = 'usg'", "sampler = 'usg': .*did you mean 'ugs'"),
        ("sampler = [{}]", "sampler = {}: must be one of"),
        ("dataset = ['digits', 'digit']", "dataset = 'digit': .*did you mean 'digits'"),
        ("data_dir = 3", "data_dir = 3: must be the name of a folder"),
        ("hidden = 64", "hidden = 64: must be a list of widths, or a list of such lists"),
        ("hidden = [64, [32]]", "hidden = .*: must be a list of widths"),
        ("hidden = '64'", "hidden = '64': must be a list of widths"),
        ("hidden = [[64.5]]", "hidden = 64.5: must be a whole number"),
    ],
)
def test_a_mistake_in_a_grid_is_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(line)
    with pytest.raises(ValueError, match=sentence):
        sweep.checked(sweep.read(file))


@pytest.mark.parametrize("content", [b"\xff", b"clients = " + b"[" * 100_000])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "grid.toml").write_bytes(content)
    with pytest.raises(ValueError, match=r"grid\.toml': must be a TOML file: "):
        sweep.read(tmp_path / "grid.toml")


lines = st.builds(
    "{} = {}".format,
    st.sampled_from([*COLUMNS, "seeds", "data_dir"]),
    st.recursive(
        st.integers().map(str)
        | st.floats().map(str)
        | st.sampled_from(["true", '"ugs"', '"iid"', "''", "0x" + "f" * 400, "07:32:00", "[]"]),
        lambda inner: st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        max_leaves=4,
    ),
)
contents = st.binary(max_size=60) | st.lists(lines, max_size=3).map("\n".join).map(str.encode)


@settings(max_examples=200)
@given(contents)
def test_any_file_is_a_grid_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "grid.toml"
    file.write_bytes(content)
    try:
        assert sweep.configs(sweep.checked(sweep.read(file)))
        sentence = ""
    except ValueError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 600
