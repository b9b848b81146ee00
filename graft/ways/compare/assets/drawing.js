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
    const pieces = [];
    for (const [column, left, right] of placed.steps) {
      pieces.push(...this.#piece(placed.cellAt[column].get(left), placed.cellAt[column + 1].get(right)));
    }
    this.lines.replaceChildren(svg("path", { d: pieces.join("") }));
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

  #piece(from, to) {
    const [y, z] = [from.y + from.height / 2, to.y + to.height / 2];
    const bend = (to.x - from.right) / 2;
    const lane = to.cell < 0 ? `H${to.right}` : "";
    return [`M${from.x + from.width} ${y}H${from.right}C${from.right + bend} ${y} ${to.x - bend} ${z} ${to.x} ${z}${lane}`];
  }

  #routes(pairs) {
    const routes = new Set();
    for (const [path, other] of pairs) {
      const [from, to] = [placeOf(this.placed, path), placeOf(this.placed, other)];
      if (from && to && from !== to) routes.add(this.#route(from, to, closure.boxOf[path], closure.boxOf[other]));
    }
    return [...routes].join("");
  }

  // Along the lanes that there are; straight over where there is none.
  #route(from, to, box, other) {
    const stops = [{ ...from, cell: 0 }];
    for (let column = closure.columnOf[box] + 1; column < closure.columnOf[other]; column += 1) {
      const lane = this.placed.cellAt[column].get(~other);
      if (lane) stops.push(lane);
    }
    stops.push({ ...to, cell: 0 });
    return stops.slice(1).flatMap((stop, index) => this.#piece(stops[index], stop)).join("");
  }

  #replacement(old, other) {
    const [from, to] = [placeOf(this.placed, old), placeOf(this.placed, other)];
    if (!from || !to) return "";
    const [y, z] = [from.y + from.height / 2, to.y + to.height / 2];
    const x = Math.max(from.x + from.width, to.x + to.width) + 22;
    return `M${from.x + from.width} ${y}C${x} ${y} ${x} ${z} ${to.x + to.width + 2} ${z}m6 -4l-6 4l6 4`;
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
      svg("text", { x: 12, y: height / 2 }, fitted(nameOf(path), width - 24)),
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
      svg("text", { x: 12, y: isOpen ? HEADER / 2 : height / 2 }, `${isOpen ? "▾" : "▸"} ${words}`),
      svg("text", { class: "found", x: width - 10, y: isOpen ? HEADER / 2 : height / 2 }),
    );
  }
}

/** The key of the place in which a path is seen. */
function keyOf(placed, path) {
  const key = `path ${path}`;
  return placed.places.has(key) ? key : `box ${closure.boxOf[path]}`;
}
