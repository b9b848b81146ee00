// The graph as SVG elements: all is drawn anew when what is seen changes; selections add lines.
class Drawing {
  constructor(canvas) {
    this.lines = svg("g", { class: "lines" });
    this.selection = svg("g", { class: "selection" });
    this.boxes = svg("g", { class: "boxes" });
    this.scene = svg("g", { class: "scene" }, this.lines, this.selection, this.boxes);
    canvas.append(this.scene);
  }

  /** Draws places as `place` has found them. */
  show(placed, open) {
    this.placed = placed;
    this.elements = new Map();
    const lines = placed.edges.map(([from, to]) => this.#line(from, to));
    this.lines.replaceChildren(svg("path", { d: lines.join("") }));
    const replaced = closure.replacements.map(([old, other]) => svg("path", { class: "replacement", d: this.#replacement(old, other) }));
    this.lines.append(...replaced);
    this.boxes.replaceChildren();
    for (const [key, at] of placed.places) {
      const element = at.box === undefined ? this.#node(at) : this.#group(at, placed.seen[at.box], open.has(at.box));
      element.dataset.key = key;
      this.elements.set(key, element);
      this.boxes.append(element);
    }
  }

  /** Marks what a search has found. */
  mark(matches) {
    for (const [key, element] of this.elements) {
      const { path, box } = this.placed.places.get(key);
      const hits = box === undefined ? +matches.has(path) : this.placed.seen[box].filter((p) => matches.has(p)).length;
      element.classList.toggle("match", hits > 0);
      if (box !== undefined) element.querySelector(".found").textContent = hits ? `${hits} found` : "";
    }
  }

  /** Shows what is selected: its references and referrers, and its chain to OLD. */
  select(key) {
    for (const element of this.boxes.querySelectorAll(".selected, .chain")) element.classList.remove("selected", "chain");
    for (const element of this.boxes.querySelectorAll("[aria-pressed]")) element.setAttribute("aria-pressed", "false");
    this.selection.replaceChildren();
    this.scene.classList.toggle("dimmed", key !== null);
    if (key === null) return;
    const element = this.elements.get(key);
    element.classList.add("selected");
    element.setAttribute("aria-pressed", "true");
    const { path } = this.placed.places.get(key);
    if (path === undefined) return;
    const near = [
      ...closure.references[path].map((other) => [path, other]),
      ...closure.referrers[path].map((other) => [other, path]),
    ];
    const chain = closure.chains[path];
    const links = chain.slice(1).map((other, index) => [chain[index], other]);
    this.selection.append(
      svg("path", { class: "near", d: this.#routes(near) }),
      svg("path", { class: "chain", d: this.#routes(links) }),
    );
    for (const other of chain.slice(1)) {
      this.elements.get(keyOf(this.placed, other))?.classList.add("chain");
    }
  }

  // From the lower edge of a box to the upper edge of the other, which is always below.
  #line(from, to) {
    const [x, y] = [from.x + from.width / 2, from.y + from.height];
    const [u, v] = [to.x + to.width / 2, to.y];
    const bend = Math.max(10, Math.min(60, (v - y) / 2));
    return `M${x} ${y}C${x} ${y + bend} ${u} ${v - bend} ${u} ${v}`;
  }

  #routes(pairs) {
    const routes = new Set();
    for (const [path, other] of pairs) {
      const [from, to] = [placeOf(this.placed, path), placeOf(this.placed, other)];
      if (from && to && from !== to) routes.add(this.#line(from, to));
    }
    return [...routes].join("");
  }

  #replacement(old, other) {
    const [from, to] = [placeOf(this.placed, old), placeOf(this.placed, other)];
    if (!from || !to) return "";
    const [y, z] = [from.y + from.height, to.y + to.height];
    const [x, u] = [from.x + from.width / 2, to.x + to.width / 2];
    const low = Math.max(y, z) + 14;
    return `M${x} ${y}C${x} ${low} ${u} ${low} ${u} ${z + 2}m-4 6l4 -6l4 6`;
  }

  #node({ path, x, y, width, height }) {
    const kind = kindOf(path);
    const pivots = isPivotable(path) ? `, pivotable: ${closure.pivots[path].join(", ")}` : "";
    const element = svg(
      "g",
      {
        class: `node ${kind} is-${closure.roles[path]}`,
        transform: `translate(${x} ${y})`,
        role: "button",
        tabindex: "-1",
        "aria-pressed": "false",
        "aria-label": `${nameOf(path)}, ${roleOf(path)}${pivots}`,
      },
      svg("title", {}, `${closure.names[path]}\n${roleOf(path)}${pivots}`),
      svg("path", { class: "outline", d: outline(kind, width, height) }),
      svg("text", { x: PADDING, y: height / 2 }, fitted(nameOf(path), width - 2 * PADDING)),
    );
    if (isPivotable(path)) {
      element.append(svg("path", { class: "badge", transform: `translate(${width - 16} -5)`, d: outline("pivotable", 12, 12) }));
    }
    return element;
  }

  #group({ box, x, y, width, height }, paths, isOpen) {
    const kind = kindOf(paths[0]);
    const words = `${paths.length.toLocaleString("en")} ${closure.roles[paths[0]]}`;
    return svg(
      "g",
      {
        class: `group ${kind} is-${kind}`,
        transform: `translate(${x} ${y})`,
        role: "button",
        tabindex: "-1",
        "aria-expanded": String(isOpen),
        "aria-label": `${words} paths`,
      },
      svg("title", {}, `${words} paths: ${isOpen ? "hide" : "show"} them`),
      ...(isOpen ? [] : [svg("path", { class: "outline behind", transform: "translate(4 4)", d: outline(kind, width, height) })]),
      svg("path", { class: "outline", d: outline(kind, width, height) }),
      svg("text", { x: PADDING, y: isOpen ? HEADER / 2 : height / 2 }, groupName(paths, isOpen)),
      svg("text", { class: "found", x: width - 10, y: isOpen ? HEADER / 2 : height / 2 }),
    );
  }
}

/** The key of the place in which a path is seen. */
function keyOf(placed, path) {
  const key = `path ${path}`;
  return placed.places.has(key) ? key : `box ${closure.boxOf[path]}`;
}
