// Keeps the list, and a job with its log, up to date. Without it the pages work, too:
// they are then as new as when they were loaded.
"use strict";

const LIST_EVERY = 4000;
const LOG_EVERY = 1000;
const PARTS_EVERY = 4;  // looks at the log
const NEAR = 40;  // pixels from the end of the log that still count as its end

const find = (selector, root = document) => root.querySelector(selector);

function trouble(text) {
  const place = find("#trouble");
  place.hidden = !text;
  if (place.textContent !== text) place.textContent = text;
}

async function ask(address) {
  let answer;
  try {
    answer = await fetch(address, { cache: "no-store" });
  } catch {
    throw new Error("dioptra-worker jobs serve has ended: start it again.");
  }
  if (!answer.ok) {
    const said = find("h1", new DOMParser().parseFromString(await answer.text(),
      "text/html"));
    throw new Error(said ? said.textContent : `The page answered ${answer.status}.`);
  }
  return answer;
}

// Calls a function again and again while the page is seen, however it went.
function repeat(look, every) {
  const turn = async () => {
    if (!document.hidden) {
      try {
        if (await look() === "done") return;
        trouble("");
      } catch (error) {
        trouble(error.message);
      }
    }
    setTimeout(turn, every);
  };
  setTimeout(turn, every);
}

// What was rendered by the server, where every value has been escaped.
function replace(place, html) {
  if (place.dataset.shown === html) return;
  const held = document.activeElement;
  const address = place.contains(held) && held.getAttribute("href");
  place.innerHTML = html;
  place.dataset.shown = html;
  if (address) find(`a[href="${CSS.escape(address)}"]`, place)?.focus();
}

function keepList(rows) {
  const form = find("#filters");
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("submit", () => {  // an address without what does not matter
    for (const field of form.elements) if (!field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
  repeat(async () => replace(rows, await (await ask(rows.dataset.source)).text()),
    LIST_EVERY);
}

function line(entry) {
  const whole = document.createElement("div");
  whole.className = `line ${entry.severity} ${entry.origin}`;
  for (const [tag, name] of [["time", "time"], ["span", "severity"], ["span", "origin"],
    ["span", "logger"], ["span", "text"]]) {
    const part = document.createElement(tag);
    if (tag === "span") part.className = name;
    part.textContent = entry[name];
    whole.append(part, " ");
  }
  return whole;
}

function section(log, entry) {
  const last = log.lastElementChild;
  if (last && last.dataset.section === String(entry.section)) return last;
  const made = document.createElement("details");
  made.open = true;
  made.dataset.section = entry.section;
  const title = document.createElement("summary");
  title.textContent = entry.title;
  made.append(title);
  log.append(made);
  return made;
}

function keepJob(log, parts) {
  let looks = 0;
  const ended = (status) => status === "finished" || status === "failed";
  repeat(async () => {
    const answer = await ask(`${log.dataset.source}?after=${log.dataset.next}`);
    const news = await answer.json();
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
    for (const entry of news.entries) section(log, entry).append(line(entry));
    log.dataset.next = news.next;
    find("#no-log").hidden = log.childElementCount > 0;
    if (atEnd && news.entries.length) log.scrollTop = log.scrollHeight;
    const changed = news.status !== parts.dataset.status;
    looks += 1;
    if (changed || (!ended(news.status) && looks % PARTS_EVERY === 0)) {
      replace(parts, await (await ask(parts.dataset.source)).text());
      parts.dataset.status = news.status;
      find("#cancel").hidden = ended(news.status);
    }
    // It may be run again; that is worth a look now and then, and not a second.
    if (ended(news.status)) await new Promise((done) => setTimeout(done, LIST_EVERY));
    return null;
  }, LOG_EVERY);
}

function start() {
  const rows = find("#rows");
  if (rows) keepList(rows);
  const log = find("#log");
  if (!log) return;
  if (log.dataset.ended === "false") log.scrollTop = log.scrollHeight;
  find("#log-filter").addEventListener("change", (event) => {
    log.className = `log least-${event.target.value}`;
  });
  keepJob(log, find("#parts"));
  const copy = find(".copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.textContent = "Copied";
    });
  }
  for (const form of document.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", () => {  // once is enough
      for (const button of form.querySelectorAll("button")) button.disabled = true;
    });
  }
}

start();
