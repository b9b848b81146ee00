// What is known of the selected path, in words and lists.
const LISTED_AT_ONCE = 40;

function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

class Panel {
  /** @param {(path: number) => void} select what a click on a path's name does */
  constructor(element, select) {
    this.element = element;
    this.select = select;
  }

  showNothing() {
    const starts = new Set([closure.root, ...closure.replacements.flat()].filter((path) => path !== null));
    this.element.replaceChildren(
      html("h3", {}, "No path is selected"),
      html("p", { class: "hint" }, "Choose one in the graph, find one by its name or hash, or begin here:"),
      this.#list([...starts]),
    );
  }

  showPath(path) {
    const facts = html("dl");
    const add = (term, ...definition) => facts.append(html("dt", {}, term), html("dd", {}, ...definition));
    add("Role", html("span", { class: `role is-${closure.roles[path]}` }, roleOf(path)));
    add("Path", html("code", {}, fullPath(closure.names[path])));
    const target = closure.newNames[path];
    if (target !== null) add(closure.roles[path] === "replaced" ? "Replaced by" : "New path", html("code", {}, fullPath(target)));
    add("NAR size", humanBytes(closure.sizes[path]));
    if (isPivotable(path)) add("Pivots", closure.pivots[path].join(", "));
    this.element.replaceChildren(html("h3", { tabindex: "-1" }, nameOf(path)), facts);
    const chain = closure.chains[path];
    if (chain.length > 1) {
      const list = this.#list(chain, "ol");
      list.className = "chain";
      this.element.append(html("h4", {}, "Why it changes"), list);
    } else if (closure.roles[path] === "rewritten" || closure.roles[path] === "cutoff") {
      this.element.append(html("h4", {}, "Why it changes"), html("p", {}, "No chain to OLD is given."));
    }
    const references = closure.references[path].filter((other) => other !== path);
    this.#section("References", references);
    this.#section("Referrers", closure.referrers[path]);
  }

  showGroup(paths) {
    this.element.replaceChildren(
      html("h3", { tabindex: "-1" }, `${counted(paths.length, "path")}, ${closure.roles[paths[0]]}`),
      html("p", { class: "hint" }, `${humanBytes(paths.reduce((sum, path) => sum + closure.sizes[path], 0))} of NARs`),
      this.#list(paths),
    );
  }

  /** Where the keyboard goes on after a link of the panel has replaced the panel. */
  focus() {
    this.element.querySelector("h3").focus({ preventScroll: true });
  }

  #section(title, paths) {
    const count = html("span", { class: "count" }, paths.length.toLocaleString("en"));
    this.element.append(html("h4", {}, `${title} `, count));
    if (paths.length) this.element.append(this.#list(paths));
  }

  #list(paths, tag = "ul") {
    const list = html(tag);
    const add = (some) => list.append(...some.map((path) => html("li", {}, this.#link(path))));
    add(paths.slice(0, LISTED_AT_ONCE));
    if (paths.length > LISTED_AT_ONCE) {
      const more = html("button", { type: "button", class: "more" }, `Show all ${paths.length.toLocaleString("en")}`);
      const item = html("li", {}, more);
      more.addEventListener("click", () => {
        item.remove();
        add(paths.slice(LISTED_AT_ONCE));
        list.children[LISTED_AT_ONCE].querySelector("button").focus();
      });
      list.append(item);
    }
    return list;
  }

  #link(path) {
    const link = html(
      "button",
      { type: "button", class: `link is-${closure.roles[path]}`, title: fullPath(closure.names[path]) },
      html("span", { class: "hash" }, `${hashOf(path).slice(0, 6)}… `),
      nameOf(path),
    );
    link.addEventListener("click", () => this.select(path));
    return link;
  }
}
