from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.app.config import SAMPLERS, Config
from pslref.app.grids import DEFAULTS, configs, described, labels, read, unheeded, varying
from pslref.app.runs import run
from pslref.app.tables import Results
from pslref.data import Dataset, load

FIELDS = [name for name in DEFAULTS if name not in ("data_dir", "seeds")]

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
    rows = [labels(config) for config in configs(given | {"seeds": seeds, "seed": 5})]
    values = {name: [default] for name, default in DEFAULTS.items()} | given
    values["hidden"] = [",".join(map(str, network)) for network in given.get("hidden", [(64,)])]
    values["seed"] = range(5, 5 + seeds)
    first = []
    for combination in product(*(values[name] for name in FIELDS)):
        wanted = dict(zip(FIELDS, combination, strict=True))
        matching = [i for i, row in enumerate(rows) if row.items() <= (wanted | unset(row)).items()]
        assert len(matching) == 1
        first += matching
    # In the order of the fields, but for the seeds, which come last.
    seen = [i for i in dict.fromkeys(first) if rows[i]["seed"] == 5]
    assert seen == list(range(0, len(rows), seeds))
    assert len(set(first)) == len(rows)


def unset(row: dict) -> dict:
    return {name: None for name, value in row.items() if value is None}


def test_the_form_in_which_a_value_is_given_does_not_matter() -> None:
    lists = {"clients": [8], "delta": [1], "hidden": [[64, 32]], "sampler": ["lds"]}
    scalars = {"sampler": "lds", "hidden": [64, 32], "delta": 1.0, "clients": 8}
    assert configs(lists) == configs(scalars)


OTHERS = {
    "partition": "mild", "clients": 7, "batch_size": 48, "hidden": (5,), "learning_rate": 0.1,
    "momentum": 0.9, "weight_decay": 0.1, "epochs": 2, "remainder": "even", "dtype": "float32",
    "fraction": 0.9, "slowdown": 3.0, "jitter": 0.5, "sample_cost": 0.5, "delta": 0.3,
    "concentration": 0.1, "slack": 0.5, "assign": "planned", "faults": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_heeds_what_it_is_said_to_heed_and_nothing_else(sampler: str) -> None:
    """To the bit: runs that differ in other fields alone may be made once."""
    whole = load("digits")
    first = (array[:300] for array in (whole.x_train, whole.y_train, whole.x_test, whole.y_test))
    dataset = Dataset("first digits", *first, 10)
    base = {"clients": 6, "batch_size": 32, "hidden": (4,), "epochs": 1, "fraction": 0.5}

    def results(**changed: object) -> Results:
        return run(Config(sampler=sampler, **base | changed), dataset)

    usual = results()
    found = {name for name, other in OTHERS.items() if results(**{name: other}) != usual}
    assert found == OTHERS.keys() - unheeded(Config(sampler=sampler, assign="planned"))


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_a_network_of_images_has_no_hidden_layers_to_choose(model: str) -> None:
    found = configs({"model": model, "hidden": [[8], [9]], "sampler": "ugs", "seeds": 1})
    assert [labels(config)["hidden"] for config in found] == [None]


def test_digits_have_no_files_of_which_others_could_be_taken() -> None:
    given = {"files": ["published", "any"], "sampler": "ugs", "seeds": 1}
    assert [labels(config)["files"] for config in configs(given)] == [None]
    found = [labels(config)["files"] for config in configs(given | {"dataset": "cifar10"})]
    assert found == ["published", "any"]


@pytest.mark.parametrize(
    ("name", "values", "other", "others", "found"),
    [
        ("assign", ["random", "auto"], "slack", [1], {("random", None), ("auto", 1)}),
        ("partition", ["iid", "dirichlet:1"], "least", [5], {("iid", None), ("dirichlet:1", 5)}),
        ("partition", ["iid", "owners"], "clients", [5], {("iid", 5), ("owners", None)}),
        ("links", ["none", "home"], "fraction", [0.5], {("none", 0.5), ("home", None)}),
    ],
)  # fmt: skip
def test_a_pair_of_which_one_is_not_heeded_is_run_without_it(
    name: str, values: list[str], other: str, others: list[float], found: set
) -> None:
    given = {"sampler": "targets", "seeds": 1, name: values, other: others}
    rows = [labels(config) for config in configs(given)]
    assert {(row[name], row[other]) for row in rows} == found
    assert len(rows) == len(found)


@pytest.mark.parametrize(
    "given",
    [
        {"assign": ["random", "slowest-first"], "slack": [0, 1]},
        {"partition": ["iid", "shards:2"], "least": 5},
        {"partition": "owners", "clients": 5},
        {"links": ["home", "mobile"], "fraction": 0.5},
    ],
)
def test_what_no_run_heeds_is_refused_but_at_its_default(given: dict) -> None:
    *_, name = given
    with pytest.raises(ValueError, match=rf"^{name} = .*: must be left out unless "):
        configs({"sampler": "targets"} | given)
    assert configs({"sampler": "targets"} | given | {name: DEFAULTS[name]})


def test_runs_are_described_by_what_any_of_them_heeds() -> None:
    """A field that one value of is heeded is that value; of several, their list."""
    found = configs(
        {"sampler": ["ugs", "lds"], "delta": [0.5, 2.0], "slack": 0.25, "clients": 9, "seeds": 2}
    )
    row = described(found)
    assert (row["sampler"], row["delta"], row["seed"]) == (["ugs", "lds"], [0.5, 2.0], [0, 1])
    assert (row["clients"], row["slack"], row["data_dir"]) == (9, 0.0, "data")  # the default
    assert varying(found) == ["delta"]
    assert described(found[:1]) == asdict(found[0])


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
    row = described(configs(read(file)))
    networks = [tuple(network) for network in hidden]
    assert row["hidden"] == (networks if len(networks) > 1 else networks[0])
    assert (row["clients"], row["partition"]) == (8, ["iid", "mild"])


lines = st.builds(
    "{} = {}".format,
    st.sampled_from([*FIELDS, "seeds", "data_dir"]),
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
        assert configs(read(file))
        sentence = ""
    except ValueError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 600
