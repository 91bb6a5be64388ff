// Keeps the list, and a job with its log, up to date. Without it the pages work, too:
// they are then as new as when they were loaded.
"use strict";

const LIST_EVERY = 4000;
const LOG_EVERY = 1000;
const PARTS_EVERY = 4;  // looks at the log
const NEAR = 40;  // pixels from the end of the log that still count as its end
const MAX_LINES = 4000;  // records of a log that are on the page

const OURS = new Set(["open", "checked"]);  // what who reads the page has decided

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
    let pause = every;
    if (!document.hidden) {
      try {
        if (await look() === "more") pause = 0;
        trouble("");
      } catch (error) {
        trouble(error.message);
      }
    }
    setTimeout(turn, pause);
  };
  setTimeout(turn, every);
}

// What was rendered by the server, where every value has been escaped. Only what has
// changed is changed: focus, selection and what was opened stay as they are.
const shown = new WeakMap();

function replace(place, html) {
  if (shown.get(place) === html) return;
  const fresh = place.cloneNode(false);
  fresh.innerHTML = html;
  patchChildren(place, fresh);
  shown.set(place, html);
}

const keyOf = (node) =>
  (node.nodeType === Node.ELEMENT_NODE && (node.dataset.job || node.id)) || "";

function patchChildren(old, fresh) {
  const nodes = [...fresh.childNodes];
  const kept = new Set(nodes.map(keyOf));
  let next = old.firstChild;
  const drop = () => {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  };
  const isLike = (node, other) =>
    keyOf(node) === keyOf(other) && node.nodeName === other.nodeName;
  for (const node of nodes) {
    while (next && keyOf(next) && !kept.has(keyOf(next))) drop();
    const match = next && [next, ...siblingsAfter(next)].find((it) => isLike(it, node));
    if (!match) {
      old.insertBefore(node, next);
      continue;
    }
    if (keyOf(node)) {
      if (match !== next) old.insertBefore(match, next);
    } else while (next !== match && !keyOf(next)) drop();
    if (match === next) next = next.nextSibling;
    patch(match, node);
  }
  while (next) drop();
}

function siblingsAfter(node) {
  const found = [];
  for (let at = node.nextSibling; at; at = at.nextSibling) found.push(at);
  return found;
}

function patch(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else if (!old.isEqualNode(fresh) && !old.matches(".pointed")) {
    for (const { name, value } of fresh.attributes) {
      if (!OURS.has(name) && old.getAttribute(name) !== value) {
        old.setAttribute(name, value);
      }
    }
    for (const { name } of [...old.attributes]) {
      if (!OURS.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    patchChildren(old, fresh);
  }
}

function keepList(rows) {
  const form = find("#filters");
  // A text is done with Enter or by the button, which this would ask a second time.
  form.addEventListener("change", (event) => {
    if (event.target.matches("select")) form.requestSubmit();
  });
  form.addEventListener("submit", () => {  // an address without what does not matter
    for (const field of form.elements) if (!field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
  const showChosen = keepChosen(find("#chosen"), rows);
  repeat(async () => {
    replace(rows, await (await ask(rows.dataset.source)).text());
    showChosen();
    return find("[data-unseen]", rows) ? "more" : "";  // the search is not over
  }, LIST_EVERY);
}

// How many jobs are chosen, and what can be done with so many.
function keepChosen(form, rows) {
  const boxes = () => [...rows.querySelectorAll("[form=chosen]")];
  const count = find(".how-many", form);
  const hint = count.textContent;
  const show = () => {
    const all = boxes();
    const chosen = all.filter((box) => box.checked).length;
    const words = chosen === 1 ? "1 job is chosen" : `${chosen} jobs are chosen`;
    form.hidden = !all.length;
    if (count.textContent !== (chosen ? words : hint)) {
      count.textContent = chosen ? words : hint;
    }
    for (const button of form.querySelectorAll("[name=do]")) {
      const least = { all: 0, compare: 2 }[button.value] ?? 1;
      button.disabled = chosen < least;
    }
    find("[value=all]", form).textContent = chosen && chosen === all.length
      ? "Choose none" : "Choose all on this page";
  };
  rows.addEventListener("change", show);
  form.addEventListener("submit", (event) => {
    if (event.submitter?.value !== "all") return;
    event.preventDefault();
    const all = boxes();
    const isAll = all.every((box) => box.checked);
    for (const box of all) box.checked = !isAll;
    show();
  });
  addEventListener("pageshow", show);
  show();
  return show;
}

function line(log, entry) {
  const whole = document.createElement("div");
  whole.className = `line ${entry.severity} ${entry.origin}`;
  for (const [tag, name] of [["time", "time"], ["span", "severity"], ["span", "origin"],
    ["span", "logger"], ["span", "text"]]) {
    const part = document.createElement(tag);
    if (tag === "span") part.className = name;
    part.textContent = entry[name];
    whole.append(part, " ");
  }
  if (entry.letters) {
    const link = document.createElement("a");
    link.className = "whole";
    link.href = `${log.dataset.source}/${entry.number}`;
    link.textContent = `Show all ${entry.letters.toLocaleString("en")} letters`;
    whole.append(link);
  }
  return whole;
}

function section(entry) {
  const made = document.createElement("details");
  made.open = true;
  made.dataset.section = entry.section;
  if (entry.continued) made.dataset.continued = "";
  const title = document.createElement("summary");
  title.textContent = entry.title;
  made.append(title);
  return made;
}

// A part that begins within a section goes on in the one that is there.
function append(log, entries) {
  for (const entry of entries) {
    let last = log.lastElementChild;
    if (!last?.matches("details")
        || (!entry.continued && last.dataset.section !== String(entry.section))) {
      last = section(entry);
      log.append(last);
    }
    last.append(line(log, entry));
  }
}

function prepend(log, entries) {
  const first = find("details", log);
  const made = [];
  for (const entry of entries) {
    if (made.at(-1)?.dataset.section !== String(entry.section)) made.push(section(entry));
    made.at(-1).append(line(log, entry));
  }
  const last = made.at(-1);
  const isOne = first && last && ("continued" in first.dataset
    || Number(first.dataset.section) <= entries.at(-1).number);
  if (isOne) {  // the last section of the part is the first one that is there
    made.pop();
    if ("continued" in first.dataset) {
      first.dataset.section = last.dataset.section;
      find("summary", first).textContent = find("summary", last).textContent;
      if (!("continued" in last.dataset)) delete first.dataset.continued;
    }
    find("summary", first).after(...[...last.children].slice(1));
  }
  const link = find(".earlier", log);
  if (link) link.after(...made); else log.prepend(...made);
}

function beginAt(log, number) {
  log.dataset.start = number;
  let link = find(".earlier", log);
  if (number === 0) return link?.remove();
  if (!link) {
    link = document.createElement("a");
    link.className = "earlier";
    log.prepend(link);
  }
  link.href = `${log.dataset.source.replace(/\/log$/, "")}?before=${number}#log-title`;
  link.textContent = `Show earlier records (${number})`;
  return link;
}

async function showEarlier(log) {
  const start = log.dataset.start;
  const part = await (await ask(`${log.dataset.source}?before=${start}`)).json();
  if (log.dataset.start !== start) return;  // it was asked twice
  const height = log.scrollHeight;
  prepend(log, part.entries);
  if (!beginAt(log, part.start)) log.focus({ preventScroll: true });
  log.scrollTop += log.scrollHeight - height;
}

async function showWhole(link) {
  const text = await (await ask(link.href)).text();
  const place = find(".text", link.parentElement);
  place.textContent = text;
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
  link.remove();
}

const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;

function isSelected(log) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(log, true);
}

// Nobody looks at these, and a log may go on for ever.
function dropOldest(log) {
  const lines = log.getElementsByClassName("line");
  let dropped = 0;
  while (lines.length > MAX_LINES) {
    const holder = lines[0].parentElement;
    lines[0].remove();
    if (holder.childElementCount === 1) holder.remove();
    dropped += 1;
  }
  if (dropped) beginAt(log, Number(log.dataset.start) + dropped);
}

async function grow(log) {
  const isLive = log.dataset.live === "true";
  const goesOn = isAtEnd(log) && !isSelected(log);
  const isFull = log.getElementsByClassName("line").length > 2 * MAX_LINES;
  const query = isLive && (goesOn || !isFull) ? `?after=${log.dataset.next}` : "";
  const news = await (await ask(log.dataset.source + query)).json();
  if (news.entries?.length) {
    append(log, news.entries);
    log.dataset.next = news.next;
    find("#no-log").hidden = true;
    if (goesOn) {
      dropOldest(log);
      log.scrollTop = log.scrollHeight;
    }
  }
  return news;
}

function keepJob(log, parts) {
  let looks = 0;
  const ended = (status) => status === "finished" || status === "failed";
  repeat(async () => {
    const news = await grow(log);
    const changed = news.status !== parts.dataset.status;
    looks += 1;
    if (changed || (!ended(news.status) && looks % PARTS_EVERY === 0)) {
      replace(parts, await (await ask(parts.dataset.source)).text());
      parts.dataset.status = news.status;
      find("#cancel").hidden = ended(news.status);
      find("#delete").hidden = !ended(news.status);
    }
    if (news.more) return "more";
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
  log.addEventListener("click", (event) => {
    const link = event.target.closest(".earlier, .whole");
    if (!link) return;
    event.preventDefault();
    const done = link.matches(".whole") ? showWhole(link) : showEarlier(log);
    done.catch((error) => trouble(error.message));
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
}

// A question that is a page of its own, in a dialog of this one.
async function askFirst(form, submitter) {
  const fields = new FormData(form);
  if (submitter?.name) fields.append(submitter.name, submitter.value);
  const query = new URLSearchParams(fields).toString();
  const address = form.getAttribute("action") + (query && `?${query}`);
  const page = new DOMParser().parseFromString(await (await ask(address)).text(),
    "text/html");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "ask-title");
  dialog.append(find("#ask", page));
  dialog.addEventListener("click", (event) => {
    if (!event.target.closest(".back")) return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  find("main").append(dialog);
  dialog.showModal();  // Escape closes it, and the focus is then where it was
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || event.submitter?.value === "compare") return;
  if (form.matches(".asks")) {
    event.preventDefault();
    askFirst(form, event.submitter).catch((error) => trouble(error.message));
  } else if (form.method === "get") {  // a download leaves the page as it is
    setTimeout(() => form.closest("dialog")?.close());
  } else if (form.method === "post") {  // once is enough
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  }
});

start();
