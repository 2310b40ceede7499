"use strict";
const at = (id) => document.getElementById(id);
const make = (name, fields, ...children) => {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...children);
  return made;
};
const WAIT = 40, PAUSE = 150; // ms after a change: until the picture, and until the other seeds
let facts;

function say(text) {
  at("error").textContent = text || "";
  at("error").hidden = !text;
}

// Sends a request. Returns its result; `tell` gets the progress. Throws an Error with one line.
async function ask(name, body, {fields = {}, signal, tell} = {}) {
  let text = "", result;
  try {
    const query = new URLSearchParams(fields);
    const response = await fetch(`${name}?${query}`, {method: "POST", body, signal});
    const reader = response.body.getReader(), decoder = new TextDecoder();
    for (let part; !(part = await reader.read()).done;) {
      text += decoder.decode(part.value, {stream: true});
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        result = JSON.parse(line);
        if ("total" in result && tell) tell(result);
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    result = null;
  }
  if (!result || "total" in result) throw new Error("The program does not answer: has it ended?");
  if ("error" in result) throw new Error(result.error);
  return result;
}

function download(name, uri) {
  const link = make("a", {href: uri, download: name});
  document.body.append(link);
  link.click();
  link.remove();
}

function figure(uri, text) {
  const image = make("img", {src: uri, alt: text});
  const look = () => image.classList.toggle("smaller", image.naturalWidth > image.clientWidth);
  image.addEventListener("load", look);
  return make("figure", {}, image, make("figcaption", {textContent: text}));
}

// Shows a command line, which breaks between its words.
function showCommand(code, text) {
  code.replaceChildren(...text.split(" ").flatMap((word, i) =>
    [i ? " " : "", make("span", {textContent: word})]));
}

const sentences = (lines) => lines.map((s) => `${s[0].toUpperCase()}${s.slice(1)}.`).join(" ");

// A place that files are dropped on, or chosen for.
function dropping(place, use) {
  const input = place.querySelector("input");
  const take = (file) => {
    if (!file) return;
    const most = facts.limit;
    say(file.size > most ? `${file.name} is too large: at most ${most >> 20} MB are taken.` : "");
    if (file.size <= most) use(file);
  };
  input.addEventListener("change", () => { take(input.files[0]); input.value = ""; });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    place.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") take(event.dataTransfer.files[0]);
    });
  }
}

document.addEventListener("click", async (event) => {
  if (!event.target.matches(".copy")) return;
  const code = event.target.parentNode.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    event.target.textContent = "Copied";
    setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren(code); // the address is no secure one: to copy by hand
  }
});
for (const name of ["dragover", "drop"]) { // a file beside the place would replace the page
  document.addEventListener(name, (event) => event.preventDefault());
}

// ---- samples ------------------------------------------------------------------------------

const state = {seed: 0, label: null, truncation: null, moves: {}, latents: null, file: null};
let busy = false, waits = false, timer = 0, later = 0, older = null, npy = null, search = null;

function change() {
  clearTimeout(timer);
  timer = setTimeout(update, WAIT);
}

// At most one picture is asked for at a time: after it, the newest settings.
async function update() {
  waits = true;
  if (busy) return;
  busy = true;
  try {
    while (waits) {
      waits = false;
      const asked = {...state};
      show(asked, await ask("picture", JSON.stringify(asked)));
      say("");
    }
  } catch (error) {
    say(error.message);
  }
  busy = false;
  clearTimeout(later);
  later = setTimeout(showOthers, PAUSE);
}

function show(asked, result) {
  const name = asked.label === null ? "" : `, class ${facts.classes[asked.label]}`;
  const text = (asked.latents ? "The projected photo" : `Seed ${asked.seed}`) + name;
  at("picture").src = result.image;
  at("picture").alt = text;
  at("caption").textContent = text;
  showCommand(at("command"), result.command);
  const first = asked.latents ? `Save the latents as ${asked.file} where you run it. ` : "";
  const writes = result.notes.length ? "" : `It writes this picture as ${result.file}, and prints where.`;
  at("file").textContent = `${first}${writes}${sentences(result.notes)}`;
  at("save").onclick = () => download(`${facts.title}_${result.file}`, result.image);
}

// The pictures of other seeds come once nothing changes.
async function showOthers() {
  if (older) older.abort();
  older = new AbortController();
  try {
    const found = await ask("others", JSON.stringify(state), {signal: older.signal});
    const focus = document.activeElement.dataset.seed;
    at("others").replaceChildren(...found.seeds.map((seed, i) => {
      const image = make("img", {src: found.images[i], alt: ""});
      const button = make("button", {type: "button", title: `Seed ${seed}`}, image);
      button.setAttribute("aria-label", `Seed ${seed}`);
      button.setAttribute("aria-pressed", !state.latents && seed === state.seed);
      button.dataset.seed = seed;
      button.onclick = () => choose(seed);
      return button;
    }));
    if (focus) at("others").querySelector(`[data-seed="${focus}"]`)?.focus();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
}

function choose(seed) {
  state.seed = Math.min(Math.max(Math.trunc(seed) || 0, 0), facts.seeds);
  at("seed").value = state.seed;
  leavePhoto();
  for (const button of at("others").children) {
    button.setAttribute("aria-pressed", Number(button.dataset.seed) === state.seed);
  }
  change();
}

function chooseLabel(label) {
  state.label = label;
  [...at("buttons").children].forEach((b, i) => b.setAttribute("aria-pressed", i === label));
}

function leavePhoto() {
  state.latents = state.file = null;
  at("back").hidden = at("npy").hidden = true;
  at("truncation").disabled = false;
}

function slider(number, name) {
  const {reach} = facts, title = name ? `${number} ${name}` : `direction ${number}`;
  const input = make("input", {type: "range", id: `move${number}`, min: -reach, max: reach,
    step: reach / 40, value: 0});
  const output = make("output", {textContent: "0"});
  input.addEventListener("input", () => {
    const value = Number(Number(input.value).toPrecision(4));
    output.textContent = value ? (value > 0 ? "+" : "") + value : "0";
    if (value) state.moves[number] = value; else delete state.moves[number];
    change();
  });
  return make("div", {className: "slider"}, make("label", {htmlFor: input.id, textContent: title}),
    input, output);
}

// At the right end of its slider, the truncation is none.
function setUpTruncation() {
  const {low, high, bounded} = facts.truncation, input = at("truncation"), step = 0.05;
  Object.assign(input, {min: low, max: bounded ? high : high + step, step, value: high + step});
  const last = Number(input.max);
  const read = () => {
    const value = Number(Number(input.value).toPrecision(4));
    state.truncation = value >= last - 1e-6 ? null : value;
    at("limit").textContent = state.truncation ?? "any";
    input.setAttribute("aria-valuetext", at("limit").textContent);
  };
  input.addEventListener("input", () => { read(); change(); });
  read();
}

async function project(file) {
  if (search) search.abort();
  const own = search = new AbortController();
  at("search").hidden = false;
  at("progress").removeAttribute("value");
  const tell = ({done, total}) => Object.assign(at("progress"), {max: total, value: done});
  try {
    const found = await ask("project", file, {fields: {name: file.name}, signal: own.signal, tell});
    Object.assign(state, {latents: found.latents, file: found.file, moves: {}});
    npy = found.npy;
    if (found.label !== null) chooseLabel(found.label);
    zero();
    at("back").hidden = at("npy").hidden = false;
    at("truncation").disabled = true;
    const made = await ask("picture", JSON.stringify({...state}));
    const near = found.psnr === null ? "equal" : `${found.psnr.toFixed(1)} dB`;
    at("pair").replaceChildren(figure(found.photo, "the photo"), figure(made.image, `the nearest: ${near}`));
    at("pair").hidden = false;
    at("notes").textContent = sentences(found.notes);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
  if (own === search) at("search").hidden = true;
}

function zero() {
  state.moves = {};
  for (const row of at("sliders").children) {
    row.querySelector("input").value = 0;
    row.querySelector("output").textContent = "0";
  }
  change();
}

// Enlarges the picture by a whole factor, so that all its pixels have one size.
function fit() {
  const picture = at("picture"), phone = innerWidth < 736;
  const room = Math.min(at("picture").parentNode.clientWidth, innerHeight * (phone ? 0.42 : 0.6), 512);
  const side = Math.max(picture.naturalWidth, picture.naturalHeight) || 1;
  const factor = room >= side ? Math.floor(room / side) : room / side;
  picture.style.width = `${picture.naturalWidth * factor}px`;
}

function setUpSamples() {
  at("samples").hidden = false;
  at("seed").max = facts.seeds;
  at("seed").addEventListener("change", () => choose(Number(at("seed").value)));
  at("less").onclick = () => choose(state.seed - 1);
  at("more").onclick = () => choose(state.seed + 1);
  at("random").onclick = () => choose(Math.random() * 10000);
  at("back").onclick = () => { leavePhoto(); change(); };
  at("npy").onclick = () => download(state.file, `data:application/octet-stream;base64,${npy}`);
  at("zero").onclick = zero;
  at("cancel").onclick = () => { search.abort(); at("search").hidden = true; };
  at("labels").hidden = !facts.classes.length;
  at("buttons").append(...facts.classes.map((name, i) => {
    const button = make("button", {type: "button", textContent: name});
    button.onclick = () => { chooseLabel(i); change(); };
    return button;
  }));
  if (facts.classes.length) chooseLabel(0);
  at("moves").hidden = !facts.directions.length;
  at("sliders").append(...facts.directions.map((name, i) => slider(i + 1, name)));
  at("picture").addEventListener("load", fit);
  addEventListener("resize", fit);
  setUpTruncation();
  dropping(at("photo"), project);
  update();
}

// ---- translations -------------------------------------------------------------------------

function setUpTranslations() {
  const places = {}, reversed = (direction) => [...direction].reverse().join("");
  at("translations").hidden = false;
  for (const direction of facts.translations) {
    const [from, , to] = direction, section = at("translation").content.cloneNode(true).firstElementChild;
    const find = (selector) => section.querySelector(selector);
    find("h2").textContent = `From ${from} to ${to}`;
    find(".drop span").textContent = `Drop a picture of ${from} here, or choose one`;
    const translate = async (file) => {
      find(".notes").textContent = "It is being translated …";
      try {
        const made = await ask("translate", file, {fields: {direction, name: file.name}});
        find(".pair").replaceChildren(figure(made.source, from), figure(made.image, to));
        find(".notes").textContent = sentences(made.notes);
        showCommand(find("code"), made.command);
        find(".save").onclick = () => download(made.file, made.image);
        find(".on").onclick = () => {
          const bytes = Uint8Array.from(atob(made.image.split(",")[1]), (c) => c.charCodeAt(0));
          places[reversed(direction)](new File([bytes], made.file));
        };
        find(".pair").hidden = find(".result").hidden = false;
      } catch (error) {
        find(".notes").textContent = "";
        say(error.message);
      }
    };
    find(".on").textContent = `And back to ${from}`;
    find(".on").hidden = !facts.translations.includes(reversed(direction));
    places[direction] = translate;
    dropping(find(".drop"), translate);
    at("translations").append(section);
  }
}

async function begin() {
  try {
    facts = await (await fetch("facts")).json();
  } catch {
    return say("The program does not answer: has it ended?");
  }
  if (facts.error) return say(facts.error);
  document.title = at("title").textContent = facts.title;
  at("about").textContent = facts.about;
  return facts.translations ? setUpTranslations() : setUpSamples();
}
begin();
