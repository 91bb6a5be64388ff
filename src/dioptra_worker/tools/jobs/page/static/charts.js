// Tells the values of a chart under the pointer, and to keyboards by a slider. Without
// it a chart shows its last values, and has all of them in its table.
"use strict";

// The index of the number that is nearest; the numbers are in order.
function nearest(numbers, wanted) {
  let low = 0;
  let high = numbers.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle; else high = middle;
  }
  return Math.abs(numbers[low] - wanted) <= Math.abs(numbers[high] - wanted)
    ? low : high;
}

const split = (text) => (text ? text.split(" ") : []);

function tell(figure, index) {
  const slider = figure.querySelector(".slider");
  const step = Number(split(slider.dataset.steps)[index]);
  const values = figure.querySelectorAll(".key strong");
  const dots = figure.querySelectorAll(".plot > circle");
  const pointer = figure.querySelector(".pointer");
  const said = [];
  figure.querySelectorAll("polyline").forEach((line, number) => {
    const steps = split(line.dataset.steps);
    if (!steps.length) return;
    const at = nearest(steps.map(Number), step);
    const [x, y] = split(line.getAttribute("points"))[at].split(",");
    const value = split(line.dataset.values)[at];
    dots[number].setAttribute("cx", `${x / 10}%`);
    dots[number].setAttribute("cy", `${y / 10}%`);
    values[number].textContent = value;
    if (Number(steps[at]) === step) {
      pointer.setAttribute("x1", `${x / 10}%`);
      pointer.setAttribute("x2", `${x / 10}%`);
    }
    said.push(`${line.dataset.label} ${value}`);
  });
  figure.querySelector(".at").textContent = `at step ${step}`;
  slider.value = index;
  slider.setAttribute("aria-valuetext", `step ${step}: ${said.join(", ")}`);
}

function end(figure) {
  figure.classList.remove("pointed");
  tell(figure, Number(figure.querySelector(".slider").max));
}

function follow(event) {
  const plot = event.target.closest?.(".plot");
  if (!plot) return;
  const figure = plot.closest("figure");
  const place = plot.getBoundingClientRect();
  const share = (event.clientX - place.left) / place.width;
  const steps = split(figure.querySelector(".slider").dataset.steps).map(Number);
  // A chart of one step has it in its middle, and there is nothing to choose.
  const wanted = steps[0] + share * (steps[steps.length - 1] - steps[0]);
  figure.classList.add("pointed");
  tell(figure, nearest(steps, wanted));
}

document.documentElement.classList.add("scripted");
document.addEventListener("pointermove", follow);
document.addEventListener("pointerdown", follow);
document.addEventListener("pointerout", (event) => {
  const plot = event.target.closest?.(".plot");
  if (plot && !plot.contains(event.relatedTarget)) end(plot.closest("figure"));
});
document.addEventListener("input", (event) => {
  if (event.target.matches(".slider")) {
    tell(event.target.closest("figure"), Number(event.target.value));
  }
});
document.addEventListener("focusin", (event) => {
  if (!event.target.matches(".slider")) return;
  event.target.closest("figure").classList.add("pointed");
  tell(event.target.closest("figure"), Number(event.target.value));
});
document.addEventListener("focusout", (event) => {
  if (event.target.matches(".slider")) end(event.target.closest("figure"));
});
