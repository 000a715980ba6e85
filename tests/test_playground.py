"""The playground in a real browser: its numbers are pslref's, and everybody can use it.

That its samplers, laws and step are right, is tested by the oracle (tests/oracle/test_backends.py).
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import matplotlib as mpl
import numpy as np
import pytest

from pslref import nn, sampling, split, theory
from pslref.app.pictures import MARKERS, STYLES
from pslref.oracle.class_targets import judge_targets
from pslref.oracle.distribution import judge
from pslref.sampling.assign import dealt, lines_in, slowest_first_order
from pslref.theory.expected import class_count_laws, urn_law

FOLDER = Path(__file__).parents[1] / "docs" / "playground"
PAGE = (FOLDER / "index.html").as_uri()
LINKS = re.findall(r'<a href="#(.*?)"', (FOLDER / "index.html").read_text("utf-8"))
PRESETS = [dict(re.findall(r"(\w+)=(\w+)", link)) for link in LINKS]
SAMPLERS = ["fls", "fpls", "ugs", "lds", "targets", "stratified"]
USUAL = {"clients": 64, "classes": 2, "stragglers": 8, "slowdown": 10, "seed": 1} | {
    "sampler": "fls", "batch": 32, "delta": 3, "epoch": 1, "step": 1
}  # fmt: skip
SIZES = [(1280, 900), (768, 1024), (375, 812)]
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Page:
    """The page in a browser, read as a reader does: what is written, and the tables."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def script(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def wait(self, code: str) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 60, 0.02).until(lambda _: self.script(f"return {code}"))

    def open(self, **state: object) -> None:
        """A situation, by its address, in a new page; what is not said is as usual."""
        self.driver.get("about:blank")
        self.driver.get(f"{PAGE}#{urlencode(state)}")
        wanted = json.dumps({name: str(value) for name, value in (USUAL | state).items()})
        form = "Object.fromEntries([...form.elements].map(({name, value}) => [name, value]))"
        self.wait(f"Object.entries({wanted}).every(([name, v]) => ({form})[name] === v)")

    def compared(self) -> None:
        """Wait until all samplers are known."""
        self.wait("document.querySelectorAll('[data-table=samplers] tbody tr').length === 6")

    def text(self, selector: str) -> str:
        found: str = self.script("return document.querySelector(arguments[0]).innerText", selector)
        return " ".join(found.split())

    def table(self, name: str) -> tuple[list[str], np.ndarray]:
        """The head and the cells of a table; a closed one is closed again before it is drawn."""
        code = """const place = document.querySelector(`[data-table=${arguments[0]}]`);
            const toggle = () => { place.open = !place.open; place.ontoggle(); };
            const isClosed = place.open === false;
            if (isClosed) toggle();
            const rows = [...place.querySelectorAll("tr")].map((row) =>
              [...row.children].map((cell) => cell.textContent));
            if (isClosed) toggle();
            return JSON.stringify(rows);"""
        head, *rows = json.loads(self.script(code, name))
        return head, np.array(rows)

    def state(self) -> dict[str, str]:
        """What the address says."""
        self.wait("location.hash === '#' + new URLSearchParams(new FormData(form))")
        said = parse_qs(self.driver.current_url.partition("#")[2])
        return {name: value for name, (value,) in said.items()}

    def errors(self) -> list[str]:
        """What the console says since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    with webdriver.Chrome(options=options, service=service) as driver:
        yield Page(driver)


@pytest.fixture(autouse=True)
def no_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does, the console stays empty."""
    yield
    if "page" in request.fixturenames:
        assert request.getfixturevalue("page").errors() == []


class Shown:
    """The numbers of the situation that a page shows."""

    def __init__(self, page: Page) -> None:
        _, holdings = page.table("holdings")
        self.delays = holdings[:, 1].astype(float)
        self.class_counts = holdings[:, 2:-1].astype(int)
        np.testing.assert_array_equal(holdings[:, 0].astype(int), np.arange(len(holdings)))
        np.testing.assert_array_equal(holdings[:, -1].astype(int), self.class_counts.sum(axis=1))
        self.sizes, totals = self.class_counts.sum(axis=1), self.class_counts.sum(axis=0)
        self.class_probs = totals / totals.sum()
        self.batch_sizes = page.table("schedule")[1][:, 1:].astype(int)
        head, steps = page.table("steps")
        self.steps = dict(zip(head, steps.T, strict=True))
        self.held = steps[:, -totals.size :].astype(int)

    def column(self, name: str) -> np.ndarray:
        return self.steps[name].astype(float)


def test_the_page_is_short() -> None:
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in FOLDER.iterdir()}
    assert sum(lines.values()) <= 900, lines


def test_a_sampler_looks_as_in_every_figure() -> None:
    """Colour, dashes and marker."""
    code = (FOLDER / "page.js").read_text("utf-8")
    lines = re.findall(r'^    (\w+): (\[".*", "#\w+", \[.*\], ".*"\]),$', code, re.MULTILINE)
    found = {name: json.loads(look) for name, look in lines}
    assert list(found) == SAMPLERS
    named = {"--": "dashed", "-.": "dashdot"}
    for name, (_, color, dashes, marker) in found.items():
        style = STYLES[name]["linestyle"]
        if isinstance(style, str):
            style = 0, mpl.rcParamsDefault[f"lines.{named[style]}_pattern"] if style != "-" else []
        assert (color, marker) == (STYLES[name]["color"], MARKERS[name])
        assert dashes == list(style[1])


def test_the_page_asks_for_nothing_but_its_own_files(page: Page) -> None:
    page.open()
    code = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    asked = [name for name in page.script(code) if not name.startswith("data:")]
    assert all(name.startswith(FOLDER.parent.as_uri()) for name in asked)
    assert not re.search(r"@import|url\(|transition|animation", (FOLDER / "style.css").read_text())


SITUATIONS = [
    {},
    {"clients": 16, "classes": 10, "batch": 256, "stragglers": 16, "slowdown": 3, "seed": 5},
    {"clients": 128, "classes": 1, "batch": 24, "stragglers": 0, "seed": 9999, "epoch": 9999},
    {"clients": 40, "classes": 3, "batch": 72, "stragglers": 1, "slowdown": 20, "delta": 0},
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_the_numbers_are_those_of_pslref(
    page: Page, situation: dict[str, int], sampler: str
) -> None:
    """All that is not random, given who holds what and, of random samplers, the schedule."""
    wanted = USUAL | situation | {"sampler": sampler}
    page.open(**situation, sampler=sampler)
    shown, batch_size = Shown(page), int(wanted["batch"])
    assert shown.class_counts.shape == (wanted["clients"], 10)
    assert (shown.class_counts.sum(axis=0) == 144).all()
    assert ((shown.class_counts > 0).sum(axis=1) <= int(wanted["classes"])).all()
    assert (shown.delays == wanted["slowdown"]).sum() == wanted["stragglers"]
    assert set(shown.delays) <= {1, wanted["slowdown"]}

    schedule = sampling.Schedule(shown.batch_sizes)
    np.testing.assert_array_equal(schedule.sizes, shown.sizes)
    if sampler in ("fls", "fpls"):
        plan = getattr(sampling, sampler)(shown.sizes, batch_size)
        np.testing.assert_array_equal(shown.batch_sizes, plan.batch_sizes)
    else:
        batches = sampling.global_batch_sizes(1440, batch_size)
        np.testing.assert_array_equal(shown.column("samples"), batches)
    expected = theory.batch_deviation(shown.held, shown.class_probs)
    np.testing.assert_allclose(shown.column("Δ"), expected, atol=5.1e-7)
    if sampler in ("targets", "stratified"):
        order = slowest_first_order(shown.class_counts, shown.delays)
        local = dealt(shown.held, len(order), lines_in(order, shown.class_counts))
        np.testing.assert_array_equal(shown.batch_sizes, local.sum(axis=2))
        schedule = sampling.Schedule(shown.batch_sizes, local)
    expected = theory.expected_deviation(schedule, shown.class_counts)
    np.testing.assert_allclose(shown.column("expected Δ"), expected, atol=5.1e-7)
    np.testing.assert_array_equal(shown.column("clients"), (shown.batch_sizes > 0).sum(axis=1))
    times = split.step_times(schedule, shown.delays)
    np.testing.assert_array_equal(shown.column("time"), times)
    net = nn.mlp([8, 16, 10], rng=np.random.default_rng(0))
    sent = split.traffic(schedule, net, 3, (8,))
    np.testing.assert_array_equal(shown.column("bytes"), np.sum(sent, axis=0))

    title = page.script("return form.elements.sampler.selectedOptions[0].text")
    head, rows = page.table("samplers")
    (row,) = (dict(zip(head, row, strict=True)) for row in rows if row[1] == title)
    largest = max(batch_size, int(shown.batch_sizes.sum(axis=1).max()))
    least = split.epoch_time_bound(shown.sizes, shown.delays, largest)
    assert float(row["epoch time"]) == times.sum()
    assert float(row["least time"]) == least
    assert float(row["mean Δ"]) == pytest.approx(shown.column("Δ").mean(), abs=5.1e-4)
    assert float(row["largest Δ"]) == pytest.approx(shown.column("Δ").max(), abs=5.1e-4)
    assert float(row["MB"]) == pytest.approx(sent.total / 1e6, abs=5.1e-4)
    assert row["accuracy"] == shown.steps["accuracy"][-1]
    for said in (row["epoch time"], row["least time"], row["mean Δ"], row["MB"], row["accuracy"]):
        assert said in page.text("#summary")


def test_a_uniform_draw_has_its_exact_expectation(page: Page) -> None:
    page.open(sampler="ugs", batch=128)
    uniform = theory.expected_uniform_deviation([144] * 10, 128)
    assert f"of a uniform draw from all data: {uniform:.3f}." in page.text("#delta .told")


@pytest.mark.parametrize("sampler", SAMPLERS[2:])
def test_random_epochs_follow_their_law(page: Page, sampler: str, alpha: float) -> None:
    """Twelve epochs: who brings how many, and of which class. Accused with probability alpha.

    It sees an epoch that comes twice; the oracle sees much more, of the same code. The page shows
    what `psl.epochOf` says, as the first and the last of them show.
    """
    situation = USUAL | {"clients": 16, "classes": 3, "batch": 240, "stragglers": 4}
    code = """const [sampler, state] = arguments, clients = psl.clientsOf(state);
        const epoch = (i) => psl.epochOf(sampler, { ...state, epoch: i + 1 }, clients);
        return psl.range(12).map((i) => epoch(i).map(({ local, held }) => [local, held]));"""
    page.open(**situation | {"sampler": sampler})
    one, epochs = Shown(page), page.script(code, sampler, situation)
    page.open(**situation | {"sampler": sampler, "epoch": 12})
    for shown, epoch in ((one, epochs[0]), (Shown(page), epochs[-1])):
        np.testing.assert_array_equal(shown.class_counts, one.class_counts)
        np.testing.assert_array_equal(shown.batch_sizes, [local for local, _ in epoch])
        np.testing.assert_array_equal(shown.held, [held for _, held in epoch])
    schedules = [np.array([local for local, _ in epoch]) for epoch in epochs]
    counts, held = one.class_counts, np.array([[held for _, held in epoch] for epoch in epochs])
    if sampler in ("ugs", "lds"):
        options: dict[str, Any] = {"class_counts": counts, "delays": one.delays, "delta": 3.0}
        given = options if sampler == "lds" else {}
        results = judge(schedules, sampler, one.sizes, 240, alpha=alpha / 2, **given)
        chances = []
        for step, found in zip(np.concatenate(schedules), np.concatenate(held), strict=True):
            who = step.nonzero()
            least, laws = class_count_laws(step[who], counts[who], urn_law)
            for law, j in zip(laws, found - least, strict=True):
                chances.append(min(law[: j + 1].sum(), law[j:].sum()))
        assert min(chances) >= alpha / 4 / len(chances)
    else:
        draw = "stratified" if sampler == "stratified" else "hypergeometric"
        order = slowest_first_order(counts, one.delays)
        local = np.array([dealt(each, 16, lines_in(order, counts)) for each in held])
        np.testing.assert_array_equal(schedules, local.sum(axis=3))
        asked = counts, 240, draw, "slowest-first", one.delays
        results = judge_targets(held, local, *asked, alpha=alpha)
    assert not any(result.is_wrong for result in results), results


def test_in_another_epoch_clients_shuffle_anew(page: Page) -> None:
    page.open()
    one = Shown(page)
    page.open(epoch=2)
    other = Shown(page)
    np.testing.assert_array_equal(one.batch_sizes, other.batch_sizes)  # of FLS
    assert (one.held != other.held).any()


@pytest.mark.parametrize("preset", range(5))
def test_a_preset_tells_its_part_of_the_story(page: Page, preset: int) -> None:
    page.open(seed=2)
    links = page.driver.find_elements("css selector", "nav a")
    assert len(links) == len(PRESETS) == 5
    links[preset].click()
    page.wait("document.querySelector('nav a[aria-current=true]')")
    paragraphs = page.driver.find_elements("css selector", "#stories p")
    assert [paragraph.is_displayed() for paragraph in paragraphs] == [i == preset for i in range(5)]
    assert page.state() == PRESETS[preset]
    page.compared()
    head, rows = page.table("samplers")
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    table = dict(zip(SAMPLERS, cells, strict=True))
    steps = Shown(page)
    story = page.text("#stories")
    if preset == 0:
        assert (steps.batch_sizes[0] == 1).all()
        assert steps.held[0].sum() == 64
        assert steps.column("Δ")[-1] > 1.5
        assert float(steps.steps["accuracy"][-1].split()[0]) < 60
    elif preset == 1:
        assert float(table["ugs"]["largest Δ"]) < 0.7
        assert (steps.column("samples") == 32).all()
    elif preset == 2:
        assert float(table["ugs"]["clients a step"]) == pytest.approx(25, abs=0.5)
        assert (steps.column("time") == 10).all()
        assert "asks 25 clients in a step" in story
        assert (table["ugs"]["epoch time"], table["ugs"]["least time"]) == ("450", "108")
        assert "450, ten times as long. " in story
        assert story.endswith("108.")
    elif preset == 3:
        assert table["lds"]["epoch time"] == table["lds"]["least time"] == "108"
        assert steps.column("Δ")[-1] == pytest.approx(1.09, abs=0.005)
        accuracy = [float(text.split()[0]) for text in steps.steps["accuracy"]]
        assert accuracy[-2:] == [79.5, 69]
        assert "Δ is 1.09, where chance makes 0.42" in story
        assert "falls to 69 %, from 79.5 %" in story
    else:
        own = table["stratified"]
        assert own["epoch time"] == "144"
        assert own["largest Δ"] == own["mean Δ"] == "0.100"
        assert float(own["clients a step"]) == pytest.approx(8, abs=0.5)
        assert float(own["MB"]) == pytest.approx(1.2, abs=0.05)
        assert float(table["ugs"]["MB"]) == pytest.approx(3.0, abs=0.05)
        assert "takes 144" in story
        assert "A step asks eight clients instead of 25" in story
        assert "1.2 megabytes cross instead of 3.0" in story


NEXT = {"clients": 8, "classes": 1, "stragglers": 1, "slowdown": 1, "batch": 8, "delta": 0.25,
        "step": 1, "seed": 1, "epoch": 1}  # fmt: skip


@pytest.mark.parametrize("name", NEXT)
def test_a_control_changes_what_is_shown_and_the_address(page: Page, name: str) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open(sampler="lds")
    before = page.text("main")
    page.driver.find_element("name", name).send_keys(Keys.ARROW_UP)
    after = USUAL | {"sampler": "lds", name: USUAL[name] + NEXT[name]}
    assert page.state() == {name: str(value) for name, value in after.items()}
    assert page.text("main") != before


def test_every_sampler_can_be_chosen(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open()
    chosen = page.driver.find_element("name", "sampler")
    said = []
    for title in chosen.text.split("\n"):
        page.wait(f"document.getElementById('summary').innerText.startsWith('{title.strip()}:')")
        said.append(page.state()["sampler"])
        chosen.send_keys(Keys.ARROW_DOWN)
    assert said == SAMPLERS


ENDS = {"clients": (16, 128), "classes": (1, 10), "stragglers": (0, 16), "slowdown": (1, 20),
        "seed": (0, 9999), "batch": (8, 256), "delta": (0, 5), "epoch": (1, 9999)}  # fmt: skip


@pytest.mark.parametrize(("name", "end"), [(n, end) for n in ENDS for end in (0, 1)])
def test_both_ends_of_every_control_work(page: Page, name: str, end: int) -> None:
    page.open(**{name: ENDS[name][end]})
    words = page.text("body") + page.script("return document.querySelector('main').innerHTML")
    assert not re.search(r"NaN|undefined|Infinity|null", words)


def test_the_buttons_step_through_the_epoch(page: Page) -> None:
    page.open(step=44, sampler="ugs")
    for button, step in [("on", "45"), ("on", "45"), ("back", "44")]:
        page.driver.find_element("id", button).click()
        assert page.state()["step"] == step
        assert page.text("#number") == step
        assert page.text("#delta .told").startswith(f"Step {step}:")


def test_an_address_brings_a_situation_back(page: Page) -> None:
    state = {"clients": 24, "classes": 4, "stragglers": 3, "slowdown": 7, "seed": 12,
             "sampler": "targets", "batch": 48, "delta": 1.25, "epoch": 3, "step": 17}  # fmt: skip
    page.open(**state)
    page.compared()
    address, seen = page.driver.current_url, page.text("main")
    page.driver.get("about:blank")
    page.driver.get(address)
    page.compared()
    assert page.text("main") == seen
    assert page.state() == {name: str(value) for name, value in state.items()}


def test_what_an_address_says_wrongly_is_as_usual(page: Page) -> None:
    wrong = {"clients": "many", "batch": "", "sampler": "none", "seed": -1, "epoch": "1.5"}
    page.driver.get("about:blank")
    page.driver.get(f"{PAGE}#{urlencode(wrong)}&classes=99&step=5000&other=1&__proto__=1&%")
    said = page.state()
    assert said == {n: str(v) for n, v in (USUAL | {"classes": 10}).items() if n != "step"} | {
        "step": said["step"]
    }
    assert int(said["step"]) == len(page.table("steps")[1])


def test_a_number_that_is_not_allowed_changes_nothing_until_it_is(page: Page) -> None:
    page.open()
    field, before = page.driver.find_element("name", "seed"), page.text("#holdings .told")
    field.clear()
    field.send_keys("12345")
    assert field.get_attribute("validationMessage")
    assert page.text("#holdings .told") != before  # of seed 1234, on the way
    field.send_keys("\ue003" * 5, "1")  # five times back
    assert page.text("#holdings .told") == before


def test_a_pointer_and_the_arrow_keys_tell_the_same_numbers(page: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.resize(*SIZES[0])
    page.open(sampler="ugs", stragglers=0)
    schedule = Shown(page).batch_sizes
    chart = page.driver.find_element("css selector", "#schedule svg")
    page.script("arguments[0].scrollIntoView({block: 'center'})", chart)
    width, height = chart.size["width"], chart.size["height"]
    t, k = 4, 6
    x = 38 + (t + 0.5) * (width - 46) / 45 - width / 2
    y = 8 + (k + 0.5) * 4 - height / 2
    ActionChains(page.driver).move_to_element_with_offset(chart, round(x), round(y)).perform()
    pointed = page.text("#schedule .told")
    assert pointed.startswith(f"Step {t + 1}: client {k} brings {schedule[t, k]} of its ")
    assert page.state()["step"] == "1"
    ActionChains(page.driver).move_to_element(page.driver.find_element("tag name", "h1")).perform()
    assert page.text("#schedule .told").startswith("Step 1: client 0 brings")
    chart.send_keys(Keys.ARROW_RIGHT * t, Keys.ARROW_DOWN * k)
    assert page.text("#schedule .told") == pointed
    assert chart.get_attribute("aria-valuetext").split() == pointed.split()
    assert page.state()["step"] == str(t + 1)
    chart.send_keys(Keys.END)
    assert page.state()["step"] == "45"
    chart.send_keys(Keys.HOME, Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert page.state()["step"] == "1"


def test_only_a_chart_of_steps_chooses_the_step(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open(batch=240, sampler="ugs")  # as many steps as there are samplers
    page.compared()
    for chart in ("trade", "classes", "holdings"):
        page.driver.find_element("css selector", f"#{chart} svg").send_keys(Keys.ARROW_LEFT)
    assert page.state()["step"] == "1"
    trade = page.driver.find_element("css selector", "#trade svg")
    trade.send_keys(Keys.HOME, Keys.ARROW_RIGHT * 2)
    assert page.text("#trade .told").startswith("UGS: epoch time ")
    assert page.state()["step"] == "1"


def test_the_arithmetic_is_right(page: Page) -> None:
    page.open(sampler="ugs", step=12)
    shown = Shown(page)
    said = page.text("#delta .told")
    terms = [(float(a), float(b)) for a, b in re.findall(r"\|(\d+) − ([\d.]+)\|", said)]
    size, delta = re.search(r"\) / (\d+) = ([\d.]+)\.", said).groups()
    assert [a for a, _ in terms] == shown.held[11].tolist()
    assert sum(abs(a - b) for a, b in terms) / int(size) == pytest.approx(float(delta), abs=5.1e-4)
    sums = page.text("#arithmetic")
    names = re.findall(r"(\d+) from client (\d+)", sums)
    assert {int(k): int(b) for b, k in names} == {
        k: b for k, b in enumerate(shown.batch_sizes[11].tolist()) if b
    }
    product, total = re.search(r"gradient: ([\d ×()+]+) = (\d+) bytes", sums).groups()
    assert eval(product.replace("×", "*")) == int(total) == shown.column("bytes")[11]
    assert f"takes {shown.column('time')[11]:g}, the largest delay" in page.text("#time .told")


def test_all_can_be_done_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open()
    name = """const element = document.activeElement;
        return element.name || element.id || element.parentElement.id || element.tagName;"""
    reached = []
    while len(reached) < 60 and "BODY" not in reached:
        page.press(Keys.TAB)
        reached.append(page.script(name))
        if page.script("return document.activeElement.textContent") == "Class targets":
            page.press(Keys.ENTER)
            page.wait("form.elements.sampler.value === 'stratified'")
        if reached[-1] == "on":
            page.press(Keys.SPACE)
    assert page.state() == PRESETS[4]
    assert {*USUAL, "back", "on", "SUMMARY"} - {"BODY"} <= {*reached, "SUMMARY"}
    assert {"holdings", "schedule", "delta", "time", "accuracy", "classes", "trade"} <= {*reached}
    for summary in page.driver.find_elements("css selector", "summary"):
        summary.send_keys(Keys.ENTER)
    page.wait("document.querySelectorAll('table').length === 4")


def test_everything_has_a_name_and_every_chart_its_numbers(page: Page) -> None:
    page.open()
    named = """return [...document.querySelectorAll("input, select, button, figure svg")].map((e) =>
        e.ariaLabel || e.labels?.[0]?.innerText.trim() || e.innerText.trim())"""
    assert all(page.script(named))
    for figure in page.driver.find_elements("css selector", "figure svg"):
        assert figure.get_attribute("role") == "slider"
        assert len(figure.get_attribute("aria-valuetext")) > 20
        now = int(figure.get_attribute("aria-valuenow"))
        assert 1 <= now <= int(figure.get_attribute("aria-valuemax"))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("preset", range(5))
def test_nothing_is_wider_than_the_window(page: Page, preset: int, size: tuple[int, int]) -> None:
    page.resize(*size)
    page.open(**PRESETS[preset])
    page.script("document.querySelectorAll('details').forEach((table) => (table.open = true))")
    page.wait("document.querySelectorAll('details .scroll').length === 3")
    assert page.script("return innerWidth") == size[0]
    code = "const root = document.documentElement; return root.scrollWidth <= root.clientWidth"
    assert page.script(code)
    inside = """const parts = document.querySelectorAll("figure, .told, nav a, label, #summary");
        return [...parts].every((part) => part.scrollWidth <= part.clientWidth + 1)"""
    assert page.script(inside)
