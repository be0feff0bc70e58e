#!/usr/bin/env python3
"""The dashboard in a browser: loads, looks, keyboard, accessibility, hostile names, layers in memory.

    Tests/browser/run [--tool PATH] [--library PATH] [--screenshots FOLDER] [--only overview,model,disk,sizing,tiers,resident]

Serves stores with 0, 3 and 1,000 models, and opens each page at 390, 1,280 and 3,840 pixels, light and dark, in headless
Chromium. A page must load without a console error and without a request to another host, fit its width, pass axe, and let the
keyboard reach all links and controls. It prints a line per failure and ends with 1 if there is one. With --screenshots it
saves a picture of each page.

`resident` is the page of a model while another process, a program with the Python package, leases layers of it in RAM and
in the device `host`. The page must show them without being loaded again, and no more when the process has ended.

A page is loaded once for each width; the colours change while it is shown. axe examines the layouts of 390 and of 1,280
pixels: wider screens have the latter. The stores lie in memory where there is a folder for it, because an import waits for
the disk more than once for each model.
"""
import argparse, hashlib, json, os, shutil, struct, subprocess, sys, tempfile, time, urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WIDTHS = {390: 844, 1280: 900, 3840: 2160}
EXAMINED = (390, 1280)
HOSTILE = "<script>window.harm=1</script>"
LARGE = 1000
# The model with a page of its own has more layers than the others. These are the layers in each tier during `resident`.
LAYERS = 12
RESIDENT = {"ram": [0, 1, 2, 5], "host": [5, 6]}


def name(number):
    return f"org{number % 7}/model-{number:04}"


def write_model(cache, number):
    """A checkpoint of some layers in a hub cache; a quarter of the models shares its first layer with others."""
    commit = hashlib.sha1(str(number).encode()).hexdigest()
    model = f"{cache}/models--{name(number).replace('/', '--')}"
    snapshot = f"{model}/snapshots/{commit}"
    os.makedirs(snapshot)
    os.makedirs(model + "/refs")
    with open(model + "/refs/main", "w") as file:
        file.write(commit)
    tensors, data = {}, b""
    for layer in range(LAYERS if number == 0 else 2):
        # No two layers of a model are equal.
        is_shared = layer == 0 and number % 4 == 0
        body = struct.pack("<II", layer, number % 3 if is_shared else LARGE + number) * 512
        tensors[f"model.layers.{layer}.mlp.weight"] = {
            "dtype": "F32", "shape": [32, 32], "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    head = json.dumps(tensors).encode()
    with open(snapshot + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)
    with open(snapshot + "/config.json", "w") as file:
        json.dump({"model_type": "test", "number": number}, file)
    return snapshot


class Server:
    """A store with some models, and `weightstore serve` over it."""

    def __init__(self, tool, folder, count):
        self.count, self.store = count, folder + "/store"
        self.tool = [tool]
        self.run("init", "--store", self.store)
        if count:
            # One command for all: each takes longer than the import of a model.
            snapshots = [write_model(folder + "/hub", number) for number in range(count)]
            self.run("import", folder + "/hub", "--store", self.store)
            self.run("tag", name(0), HOSTILE, "--store", self.store)
            self.run("pin", name(0), "--note", HOSTILE, "--store", self.store)
            self.run("quota", "--set", "1G", "--store", self.store)
            self.run("record", "on", "--store", self.store)
            # A model that shares no layer is not on disk.
            absent = min(3, count - 1)
            self.run("origin", "add", name(absent), "file://" + snapshots[absent], "--store", self.store)
            self.run("evict", "--free", "8k", "--store", self.store)
        self.start()
        for number in range(min(count, 2)):
            # Uses, for the heat of the map, the charts and the forecast.
            for _ in range(number + 1):
                urllib.request.urlopen(f"{self.url}/{name(number)}/resolve/main/model.safetensors").read()

    def start(self):
        self.process = subprocess.Popen(
            self.tool + ["serve", "--port", "0", "--quiet", "--store", self.store], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def run(self, *arguments):
        command = self.tool + list(arguments)
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"{' '.join(command)}: {result.stderr}")

    def end(self):
        self.process.terminate()
        self.process.wait()


class Engine:
    """A process that leases layers of a model, until `end`."""

    PROGRAM = """
import sys, weightstore
revision = weightstore.open(sys.argv[1]).revision(sys.argv[2])
leases = [revision.lease_layer(int(layer), tier=tier) for tier, layer in (part.split(":") for part in sys.argv[3:])]
print("leased", flush=True)
sys.stdin.read()
"""

    def __init__(self, library, server, model, layers):
        program = server.store + "-engine.py"
        with open(program, "w") as file:
            file.write(self.PROGRAM)
        self.process = subprocess.Popen(
            [sys.executable, program, server.store, model]
            + [f"{tier}:{layer}" for tier, numbers in layers.items() for layer in numbers],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": ROOT + "/Sources/Python", "WEIGHTSTORE_LIBRARY": library})
        if self.process.stdout.readline() != "leased\n":
            sys.exit(f"the layers of {model} were not leased")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def pages(server):
    found = {"overview": "/", "disk": "/disk", "sizing": "/sizing", "tiers": "/tiers", "models": "/models"}
    if server.count:
        found |= {
            "model": "/models/org0/model-0000", "layers": "/disk?model=org0/model-0000",
            "shards": "/disk?model=org0/model-0000&layer=0", "search": "/?q=model-000", "sorted": "/?sort=size&dir=desc",
        }
    return found


def wait(page, expression, seconds=30):
    """Waits until an expression is true. `wait_for_function` would evaluate it in the page, whose policy forbids that."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(20)
    return True


class Checks:
    def __init__(self, browser, screenshots):
        self.browser, self.screenshots, self.failures, self.axe = browser, screenshots, [], Axe()

    def fail(self, place, text):
        self.failures.append(f"{place}: {text}")
        print(f"FAILED {place}: {text}", flush=True)

    def check(self, server, name, path, width):
        place = f"{name} of {server.count} models, {width} pixels"
        page = self.open(server, path, width, place)
        self.examine(page, server, name, width, place)
        page.context.close()

    def open(self, server, path, width, place):
        context = self.browser.new_context(
            viewport={"width": width, "height": WIDTHS[width]}, color_scheme="light", reduced_motion="reduce")
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and self.fail(place, message.text))
        page.on("pageerror", lambda error: self.fail(place, f"error of the script: {error}"))
        page.on(
            "request", lambda request: request.url.startswith((server.url, "data:"))
            or self.fail(place, f"request to {request.url}"))
        page.goto(server.url + path)
        self.load_sections(page, place)
        return page

    def examine(self, page, server, name, width, place):
        if page.evaluate("window.harm !== undefined"):
            self.fail(place, "a name was run as a script")
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if too_wide > 0:
            self.fail(place, f"{too_wide} pixels wider than the screen")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            if self.screenshots:
                page.screenshot(path=f"{self.screenshots}/{name}-{server.count}-{width}-{scheme}.png", full_page=True)
            if width not in EXAMINED:
                continue
            # The second scheme has the same elements in other colours.
            rules = None if scheme == "light" else {"runOnly": ["color-contrast"]}
            for violation in self.axe.run(page, options=rules).response["violations"]:
                for node in violation["nodes"][:3]:
                    self.fail(
                        f"{place}, {scheme}",
                        f"axe: {violation['id']}: {node['html'][:200]}: {node['failureSummary'][:200]}")

    def resident(self, server, library):
        """The page of a model shows the layers that another process has in memory, while it has them."""
        path = "/models/" + name(0)
        # The cells of the strip by their colours, and the column of the table.
        shown = """() => ["ram", "device"].map(place =>
            [...document.querySelectorAll(`.strip .place-${place} > span`)].map(e => parseInt(e.firstChild.data.slice(6))))
            .concat([[...document.querySelectorAll("[data-label='Resident layers']")].map(e => e.innerText)])"""
        # A layer that is in both has the colour of the device.
        want = [[layer for layer in RESIDENT["ram"] if layer not in RESIDENT["host"]], RESIDENT["host"],
                ["Host device: layers 5–6\nRAM: layers 0–2, 5"]]
        none = [[], [], []]

        def expect(page, place, value, text):
            # The statistics of a process are at most a second old, and the server looks every two seconds.
            if not wait(page, f"JSON.stringify(({shown})()) === JSON.stringify({json.dumps(value)})"):
                self.fail(place, f"{text}: {page.evaluate(shown)}, not {value}")

        places = {width: f"resident of {server.count} models, {width} pixels" for width in WIDTHS}
        opened = {width: self.open(server, path, width, place) for width, place in places.items()}
        for width, page in opened.items():
            if not wait(page, "document.querySelector('#live').dataset.state === 'live'"):
                self.fail(places[width], "the page is not live")
            expect(page, places[width], none, "layers in memory before a process leases some")
        engine = Engine(library, server, name(0), RESIDENT)
        try:
            for width, page in opened.items():
                expect(page, places[width], want, "layers in memory")
                self.examine(page, server, "resident", width, places[width])
            self.keyboard(server, path)
        finally:
            engine.end()
        for width, page in opened.items():
            expect(page, places[width], none, "layers in memory after the process ended")
            page.context.close()

    def load_sections(self, page, place):
        """Scrolls through the page: sections that are loaded afterwards are loaded when they are near."""
        # The browser notices only what is in view while it draws a frame, which may take long on a large screen.
        page.evaluate("""async () => { for (const part of document.querySelectorAll("[data-load]")) {
            part.scrollIntoView();
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
        } scrollTo(0, 0); }""")
        if not wait(page, "!document.querySelector('[aria-busy], [data-load] > p.nothing > a:only-child')", 60):
            self.fail(place, "a section was not loaded")

    def keyboard(self, server, path):
        """Tab alone reaches every link, control and scrolled part that is shown, and Enter follows a link."""
        place = f"keyboard, {path} of {server.count} models"
        context = self.browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(server.url + path)
        # The link to a section that is loaded afterwards would vanish while the keys are pressed.
        self.load_sections(page, place)
        pause = page.locator("#pause")
        if pause.is_visible():
            pause.press("Enter")
        want = page.evaluate("""() => { const all = [...document.querySelectorAll(
            "a[href], button, input:not([type=hidden]), summary, [tabindex='0']")].filter(e => e.checkVisibility());
            all.forEach((e, i) => e.dataset.mark = i); return all.map(e => e.outerHTML.slice(0, 200)) }""")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        seen = set()
        for _ in range(len(want) + 10):
            page.keyboard.press("Tab")
            mark, ring = page.evaluate("""() => { const e = document.activeElement; const s = getComputedStyle(e);
                return [e.dataset?.mark ?? null, s.outlineStyle !== 'none' || !!e.closest('svg') || !!e.querySelector?.('svg')] }""")
            if mark is not None:
                seen.add(mark)
                if not ring:
                    self.fail(place, f"no mark of the focus at element {mark}")
        for mark, element in enumerate(want):
            if str(mark) not in seen:
                self.fail(place, f"the keyboard does not reach {element}")
        context.close()

    def behaviour(self, server):
        """The search without and with the script, the map's levels, and the updates."""
        plain = self.browser.new_context(java_script_enabled=False)
        page = plain.new_page()
        page.goto(server.url + "/")
        page.fill("#q", "model-0001")
        page.press("#q", "Enter")
        rows = page.locator("table.models tbody tr").count()
        if rows != 1:
            self.fail("without script", f"the search finds {rows} models, not 1")
        page.click("table.models tbody th a")
        if "/models/" not in page.url or page.locator("h1").inner_text() != "org1/model-0001":
            self.fail("without script", "the link of a model does not lead to its page")
        plain.close()
        context = self.browser.new_context()
        page = context.new_page()
        page.goto(server.url + "/")
        page.wait_for_selector("#live[data-state=live]")
        page.fill("#q", HOSTILE)
        if not wait(page, "document.querySelectorAll('table.models tbody tr').length === 1"):
            self.fail("search", "typing does not search")
        if not wait(page, "location.search.includes('q=')"):
            self.fail("search", "the address does not keep it")
        page.goto(server.url + "/disk")
        page.locator("svg.map a").first.click(position={"x": 20, "y": 20})
        page.wait_for_url(lambda url: "/disk?model=" in url)
        page.locator("svg.map a").first.click(position={"x": 20, "y": 20})
        page.wait_for_url(lambda url: "layer=" in url)
        page.goto(server.url + "/")
        page.wait_for_selector("#live[data-state=live]")
        server.run("tag", name(0), "moved", "--store", server.store)
        if not wait(page, "document.querySelector('#rows')?.textContent.includes('moved')"):
            self.fail("updates", "a new ref is not shown")
        context.close()

    def speed(self, server):
        """The first answer of a server that has read nothing: its time and size."""
        times = []
        for _ in range(5):
            server.end()
            server.start()
            start = time.perf_counter()
            body = urllib.request.urlopen(server.url + "/").read()
            times.append(time.perf_counter() - start)
        seconds = sorted(times)[2]
        print(f"/ of {server.count} models: {seconds * 1000:.0f} ms cold, the median of 5; {len(body) / 1000:.0f} kB")
        if len(body) > 300_000:
            self.fail("size", f"{len(body)} bytes; at most 300,000")
        if seconds > 0.3:
            self.fail("time", f"{seconds * 1000:.0f} ms cold; at most 300 ms on a machine that does nothing else")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", default=ROOT + "/.build/release/weightstore")
    parser.add_argument("--library", default=ROOT + "/.build/release/libweightstore-c.so")
    parser.add_argument("--screenshots")
    parser.add_argument("--only", help="the names of pages, separated by commas")
    parser.add_argument("--models", default=f"0,3,{LARGE}", help="the sizes of the stores")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    if options.screenshots:
        os.makedirs(options.screenshots, exist_ok=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="weightstore-browser-", dir=memory)
    servers = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            checks = Checks(browser, options.screenshots)
            for count in map(int, options.models.split(",")):
                server = Server(options.tool, f"{folder}/{count}", count)
                servers.append(server)
                for name, path in pages(server).items():
                    if options.only and name not in options.only.split(","):
                        continue
                    for width in WIDTHS:
                        checks.check(server, name, path, width)
                if count and (not options.only or "resident" in options.only.split(",")):
                    checks.resident(server, options.library)
                if count:
                    for path in ("/", "/models/org0/model-0000", "/disk"):
                        checks.keyboard(server, path)
                    checks.behaviour(server)
                checks.speed(server)
            browser.close()
        if checks.failures:
            sys.exit(f"{len(checks.failures)} failures")
    finally:
        for server in servers:
            server.end()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
