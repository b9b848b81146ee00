// Finds paths by any part of their base names: hash or name.
class Search {
  /**
   * @param {(matches: Set<number>) => void} mark shows what is found
   * @param {(path: number) => void} visit goes to one of it
   */
  constructor(input, output, mark, visit) {
    Object.assign(this, { input, output, mark, visit, matches: [], at: -1 });
    this.texts = closure.names.map((name) => name.toLowerCase());
    input.addEventListener("input", () => this.#find());
    input.addEventListener("keydown", (event) => this.#key(event));
  }

  get found() {
    return new Set(this.matches);
  }

  #find() {
    const wanted = this.input.value.trim().toLowerCase().replace(closure.directory, "");
    this.matches = [];
    this.at = -1;
    if (wanted) {
      this.texts.forEach((text, path) => text.includes(wanted) && this.matches.push(path));
      this.output.textContent = this.matches.length ? `${counted(this.matches.length, "path")} found` : "nothing found";
    } else {
      this.output.textContent = "";
    }
    this.mark(this.found);
  }

  #key(event) {
    if (event.key === "Escape") {
      this.input.value = "";
      this.#find();
    } else if (event.key === "Enter" && this.matches.length) {
      event.preventDefault();
      const number = this.matches.length;
      this.at = event.shiftKey ? (Math.max(this.at, 0) + number - 1) % number : (this.at + 1) % number;
      const path = this.matches[this.at];
      this.visit(path);
      this.output.textContent = `${(this.at + 1).toLocaleString("en")} of ${number.toLocaleString("en")}: ${nameOf(path)}`;
    }
  }
}
