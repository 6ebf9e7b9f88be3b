// The page of `radvlm chat --web`. Everything that comes from a model or a file is put in as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const count = new Intl.NumberFormat("en");
let state = null;
let busy = false;
let shown = null; // position of the answer whose boxes lie on the picture

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---- asking the server

class Unanswered extends Error {}

async function fetched(address, options) {
  const answer = await reached(address, options);
  const values = await answer.json();
  if (!answer.ok) throw new Unanswered(values.error);
  return values;
}

// What only reads is asked for again: a tunnel may fail for a moment while an answer is waited for.
async function reached(address, options) {
  for (let left = options ? 0 : 4; ; left -= 1) {
    try {
      return await fetch(address, options);
    } catch {
      if (!left) throw new Unanswered("radvlm chat has ended, or cannot be reached. Is it at work in the terminal?");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

// Hand something in, and wait for its turn. Long answers come by asking again and again: no browser waits for ever.
async function done(address, options, words) {
  if (busy || !state) return false;
  busy = true;
  tell([]);
  const begun = Date.now();
  let ahead = 0;
  const tick = () => {
    const seconds = Math.round((Date.now() - begun) / 1000);
    const turn = ahead ? `Waiting for ${ahead} before this one` : words;
    $("waiting").textContent = `${turn}${seconds ? `, ${seconds} s` : ""} \u2026`;
  };
  tick();
  const clock = setInterval(tick, 1000);
  controls();
  let well = false;
  try {
    const job = await fetched(address, { method: "POST", ...options });
    ({ ahead } = job);
    let result = job;
    while (!result.done) {
      result = await fetched(`job/${job.job}`);
      ahead = result.ahead ?? 0;
    }
    const before = state;
    state = result.state;
    // The boxes of a new answer are shown at once; one without boxes leaves the last ones, but not on another picture.
    const last = state.exchanges.at(-1);
    if (last && last.boxes.length && last.position !== before.exchanges.at(-1)?.position) {
      shown = last.position;
      $("show").checked = true;
    }
    render();
    well = result.error === null;
    tell([...result.lines, ...result.notes], result.error, result.hint);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    tell([], error.message);
  } finally {
    clearInterval(clock);
    busy = false;
    controls();
  }
  return well;
}

const say = (line, words = "The model answers") =>
  done("say", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ line }) }, words);

async function upload(file) {
  if (!file) return;
  if (file.size > state.most_upload) {
    tell([], `${file.name} is too large: at most ${count.format(state.most_upload)} bytes are taken.`);
    return;
  }
  const options = { headers: { "Content-Type": "application/octet-stream" }, body: file };
  await done(`image?name=${encodeURIComponent(file.name)}`, options, `Opening ${file.name}`);
  $("line").focus();
}

// ---- showing

function tell(lines, error, hint) {
  const told = lines.map((line) => make("p", "", line));
  if (error) told.push(make("p", "wrong", error));
  if (hint) told.push(make("p", "", `Try: ${hint}`));
  $("told").replaceChildren(...told);
}

function controls() {
  const none = busy || !state.picture;
  $("ask").disabled = none || !state.model.asks;
  $("locate").disabled = none || !state.model.locates;
  $("report").disabled = none || !state.model.reports;
  $("reset").disabled = none || !state.exchanges.length;
  $("file").disabled = busy;
  $("waiting").hidden = !busy;
}

function render() {
  const { model, picture, exchanges } = state;
  $("model").textContent = model.title === model.name ? model.name : `${model.title} (${model.name})`;
  $("kept").textContent = state.kept
    ? "What is said here is kept in the store."
    : "Nothing of this is kept in a store.";
  renderPicture(picture);
  $("dialogue").replaceChildren(...exchanges.map(exchangeItem));
  $("save-dialogue").hidden = !exchanges.length;
  $("line").placeholder = model.asks ? "Is the heart enlarged?" : model.locates ? "left lung" : "";
  renderBoxes();
  controls();
}

function renderPicture(picture) {
  $("film").hidden = !picture;
  $("no-film").hidden = Boolean(picture);
  $("open-words").textContent = picture ? "Open another image" : "Open an image";
  if (!picture) return;
  const size = `${count.format(picture.width)} \u00d7 ${count.format(picture.height)} pixels`;
  const address = `picture/${picture.number}`;
  if ($("picture").getAttribute("src") !== address) {
    // Width and height hold the place, so that nothing jumps when the picture comes.
    Object.assign($("picture"), { width: picture.width, height: picture.height, src: address });
  }
  $("picture").alt = `${picture.name}, ${size}`;
  $("facts").textContent = `${picture.name}, ${size}, preprocessing: ${picture.preprocessing}`;
  $("notices").replaceChildren(...picture.notices.map((each) => make("li", "", each)));
}

function exchangeItem(said) {
  const item = make("li", "exchange");
  item.append(make("p", "asked", said.prompt));
  if (said.answer) item.append(make("p", "answer", said.answer));
  for (const note of said.notes) item.append(make("p", "note", note));
  if (said.boxes.length) item.append(boxList(said), boxButton(said));
  return item;
}

function boxList(said) {
  const list = make("ol", "boxes");
  said.boxes.forEach((each, index) => {
    const item = make("li");
    item.append(make("b", "", each.words), `${each.pixels} pixels`);
    item.addEventListener("pointerenter", () => point(said.position, index, true));
    item.addEventListener("pointerleave", () => point(said.position, index, false));
    list.append(item);
  });
  return list;
}

function boxButton(said) {
  const many = said.boxes.length > 1;
  const button = make("button", "shows", many ? `Show these ${said.boxes.length} boxes` : "Show this box");
  button.type = "button";
  button.dataset.position = said.position;
  button.addEventListener("click", () => {
    shown = said.position;
    $("show").checked = true;
    renderBoxes();
    reveal();
  });
  return button;
}

function renderBoxes() {
  const said = state.exchanges.find((each) => each.position === shown);
  const boxes = said && $("show").checked ? said.boxes : [];
  $("overlay").replaceChildren(...boxes.flatMap(({ box }) => [outline(box, "halo"), outline(box, "edge")]));
  $("tags").replaceChildren(...boxes.map(tag));
  $("show-switch").hidden = $("save-boxes").hidden = !said;
  if (said) {
    $("save-boxes").href = `boxes/${said.position}.png`;
    $("save-boxes").download = "boxes.png";
  }
  for (const button of document.querySelectorAll(".shows")) {
    button.setAttribute("aria-pressed", String(boxes.length > 0 && Number(button.dataset.position) === shown));
  }
}

function outline([left, top, right, bottom], className) {
  const rect = document.createElementNS(SVG, "rect");
  const sides = { x: left, y: top, width: right - left, height: bottom - top, class: className };
  for (const [name, value] of Object.entries(sides)) rect.setAttribute(name, value);
  return rect;
}

// Above the box, or inside where the picture ends above it; from the side that has more room.
function tag({ box: [left, top, right], words }) {
  const element = make("span", top > 0.06 ? "tag above" : "tag", words);
  element.style.top = `${100 * top}%`;
  if (left <= 0.5) element.style.left = `${100 * left}%`;
  else element.style.right = `${100 * (1 - right)}%`;
  return element;
}

// On a narrow screen the picture stands above the dialogue, and may be out of sight.
function reveal() {
  if ($("film").getBoundingClientRect().bottom < 120) $("film").scrollIntoView({ block: "start" });
}

function point(position, index, on) {
  if (position !== shown) return;
  $("overlay").querySelectorAll(".edge")[index]?.classList.toggle("pointed", on);
}

// ---- what is done

async function typed(before) {
  const line = $("line").value.trim();
  if (!line) {
    $("line").focus();
    return;
  }
  // A question that starts with / is a command, as in the terminal.
  const had = shown;
  if (await say(before && !line.startsWith("/") ? `${before} ${line}` : line)) $("line").value = "";
  $("line").focus();
  $("form").scrollIntoView({ block: "nearest" });
  if (shown !== had) reveal();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  // Of a model that holds no dialogue the line can only be a place.
  typed(state.model.asks || !state.model.locates ? "" : "/locate");
});
$("line").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
$("locate").addEventListener("click", () => typed("/locate"));
$("report").addEventListener("click", () => say("/report"));
$("reset").addEventListener("click", async () => {
  if (await say("/reset", "A new dialogue")) $("line").focus();
});
$("show").addEventListener("change", renderBoxes);
$("file").addEventListener("change", async () => {
  const [file] = $("file").files;
  await upload(file);
  $("file").value = ""; // the same file can be chosen again
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop" && !busy) upload(event.dataTransfer.files[0]);
  });
}

(async () => {
  try {
    state = await fetched("state");
  } catch (error) {
    tell([], error.message);
    return;
  }
  shown = state.exchanges.findLast((each) => each.boxes.length)?.position ?? null;
  render();
  document.documentElement.dataset.ready = "yes";
})();
