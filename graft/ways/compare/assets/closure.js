// The closure as the page brings it: paths and boxes are numbers all through.
const closure = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const referrers = data.names.map(() => []);
  data.references.forEach((others, path) => {
    for (const other of others) if (other !== path) referrers[other].push(path);
  });
  const boxOf = [];
  data.boxes.forEach((paths, box) => {
    for (const path of paths) boxOf[path] = box;
  });
  const columnOf = [];
  data.columns.forEach((cells, column) => {
    for (const cell of cells) if (cell >= 0) columnOf[cell] = column;
  });
  return { ...data, referrers, boxOf, columnOf };
})();

const HASH_LENGTH = 32;

const fullPath = (base) => (base.startsWith("/") ? base : closure.directory + base);
const nameOf = (path) => closure.names[path].slice(HASH_LENGTH + 1);
const hashOf = (path) => closure.names[path].slice(0, HASH_LENGTH);
const kindOf = (path) => (path === closure.root ? "root" : closure.roles[path]);
const isPivotable = (path) => path in closure.pivots;
const isGroup = (box) => closure.boxes[box].length > 1;

const ROLES = {
  root: "the root, unchanged",
  replaced: "replaced (OLD)",
  new: "replacement (NEW)",
  rewritten: "rewritten",
  shared: "shared, unchanged",
  cutoff: "cutoff, left as it is",
};

function roleOf(path) {
  const role = ROLES[closure.roles[path]];
  return path === closure.root && closure.roles[path] !== "root" ? `the root, ${role}` : role;
}

function counted(number, thing) {
  return `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
}

function humanBytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; size >= 1024 && unit < units.length - 1; unit += 1) size /= 1024;
  return `${size.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}
