// What is selected, open and filtered, and what changes it.
const READABLE = 11 / 12; // labels of 11 pixels
const PAN_STEP = 60;

function start() {
  const by = (id) => document.getElementById(id);
  by("explorer").hidden = false;
  const canvas = by("graph");
  const drawing = new Drawing(canvas);
  const viewport = new Viewport(canvas, drawing.scene);
  const open = new Set();
  const hiddenKinds = new Set();
  const panel = new Panel(by("panel"), (path) => {
    visit(path);
    panel.focus();
  });
  const search = new Search(by("query"), by("found"), (matches) => drawing.mark(matches), visit);
  let selected = null; // a key of the drawing's places
  let reached = null; // the key that Tab leads to

  // A path is hidden when everything that it is is hidden.
  function isVisible(path) {
    return !hiddenKinds.has(kindOf(path)) || (isPivotable(path) && !hiddenKinds.has("pivotable"));
  }

  function draw() {
    const focused = canvas.contains(document.activeElement);
    drawing.show(place(isVisible, open, viewport.room(READABLE)), open);
    const { places } = drawing.placed;
    if (selected !== null && !places.has(selected)) choose(null);
    else drawing.select(selected);
    drawing.mark(search.found);
    if (!places.has(reached)) reached = selected ?? places.keys().next().value ?? null;
    reach(reached, focused);
  }

  function reach(key, focus) {
    drawing.elements.get(reached)?.setAttribute("tabindex", "-1");
    reached = key;
    const element = drawing.elements.get(key);
    element?.setAttribute("tabindex", "0");
    if (focus) element?.focus({ preventScroll: true });
  }

  function choose(key) {
    selected = key;
    drawing.select(key);
    if (key === null) return panel.showNothing();
    reach(key, false);
    const { path, box } = drawing.placed.places.get(key);
    if (path === undefined) panel.showGroup(drawing.placed.seen[box]);
    else panel.showPath(path);
  }

  function visit(path) {
    const kinds = [kindOf(path)];
    if (!isVisible(path)) showKinds(kinds);
    const box = closure.boxOf[path];
    if (isGroup(box) && !open.has(box)) {
      open.add(box);
      draw();
    }
    choose(`path ${path}`);
    viewport.reveal(drawing.placed.places.get(selected));
  }

  function toggle(box) {
    const key = `box ${box}`;
    const before = drawing.placed.places.get(key);
    if (!open.delete(box)) open.add(box);
    draw();
    viewport.hold(before, drawing.placed.places.get(key));
    choose(key);
  }

  function activate(key) {
    const { path, box } = drawing.placed.places.get(key);
    if (path === undefined) toggle(box);
    else choose(key);
  }

  function showKinds(kinds) {
    for (const button of document.querySelectorAll("[data-kind]")) {
      if (kinds.includes(button.dataset.kind)) button.setAttribute("aria-pressed", "true");
    }
    for (const kind of kinds) hiddenKinds.delete(kind);
    draw();
  }

  function hideKinds(kinds) {
    for (const button of document.querySelectorAll("[data-kind]")) {
      if (kinds.includes(button.dataset.kind)) button.setAttribute("aria-pressed", "false");
    }
    for (const kind of kinds) hiddenKinds.add(kind);
  }

  // Of several outputs the main one, which has the shortest name.
  const shortestFirst = (one, other) => nameOf(one).length - nameOf(other).length;

  // The nearest place in a direction: what lies aside counts threefold.
  function towards(key, dx, dy) {
    const from = centre(drawing.placed.places.get(key));
    let nearest = key;
    let least = Infinity;
    for (const [other, at] of drawing.placed.places) {
      const to = centre(at);
      const along = (to.x - from.x) * dx + (to.y - from.y) * dy;
      const aside = Math.abs((to.x - from.x) * dy) + Math.abs((to.y - from.y) * dx);
      const distance = along + 3 * aside;
      if (other !== key && along > 4 && distance < least) [nearest, least] = [other, distance];
    }
    return nearest;
  }

  function centre({ x, y, width, box }) {
    return { x: x + width / 2, y: y + (box === undefined ? NODE.height : HEADER) / 2 };
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const key = event.target.dataset.key;
    if (event.ctrlKey || event.metaKey || event.altKey || key === undefined) return;
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) viewport.pan(-arrow[0] * PAN_STEP, -arrow[1] * PAN_STEP);
    else if (arrow) {
      reach(towards(key, ...arrow), true);
      viewport.reveal(drawing.placed.places.get(reached));
    } else if (event.key === "Enter" || event.key === " ") activate(key);
    else if (event.key === "+" || event.key === "=") viewport.zoomBy(ZOOM.step);
    else if (event.key === "-") viewport.zoomBy(1 / ZOOM.step);
    else if (event.key === "0") viewport.fit(drawing.placed);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("click", (event) => {
    const element = event.target.closest("[data-key]");
    if (!element) return choose(null);
    reach(element.dataset.key, true);
    activate(element.dataset.key);
  });

  by("zoom-in").addEventListener("click", () => viewport.zoomBy(ZOOM.step));
  by("zoom-out").addEventListener("click", () => viewport.zoomBy(1 / ZOOM.step));
  by("fit").addEventListener("click", () => viewport.fit(drawing.placed));
  by("collapse").hidden = closure.boxes.every((paths) => paths.length === 1);
  by("collapse").addEventListener("click", () => {
    open.clear();
    draw();
    viewport.fit(drawing.placed, READABLE);
  });
  for (const button of document.querySelectorAll("[data-kind]")) {
    const kind = button.dataset.kind;
    const swatch = button.querySelector("svg");
    swatch.append(svg("path", { class: `outline ${kind} is-${kind}`, transform: "translate(1 1)", d: outline(kind, 24, 14) }));
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(pressed));
      if (pressed) hiddenKinds.delete(kind);
      else hiddenKinds.add(kind);
      draw();
    });
  }

  // It begins with what changes, and OLD: the rest is one button away.
  const changes = closure.roles.some((role) => role === "replaced" || role === "rewritten");
  if (changes) hideKinds(["shared", "pivotable"]);
  draw();
  const [old] = closure.replacements.map(([path]) => path).sort(shortestFirst);
  choose(old === undefined ? null : keyOf(drawing.placed, old));
  viewport.fit(drawing.placed, READABLE);
}

start();
