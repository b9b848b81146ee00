// Where cells stand: their columns and their order are given, what is left are the distances.
const NODE = { width: 176, height: 26 };
const GAP = 8;
const LANE = 4;
const BETWEEN_COLUMNS = 48;
const HEADER = 28;
const SETTLING_ROUNDS = 6;

/**
 * Places what is to be seen.
 * @param {(path: number) => boolean} isVisible
 * @param {Set<number>} open the boxes whose paths are shown one by one
 * @returns columns of cells, places of paths and boxes, and how to lead a line
 */
function place(isVisible, open) {
  const seen = closure.boxes.map((paths) => paths.filter(isVisible));
  const edges = closure.edges.filter(([box, other]) => seen[box].length && seen[other].length);
  const furthest = new Map(); // of each box, the first column in which it needs a lane
  for (const [box, other] of edges) {
    const first = closure.columnOf[box] + 1;
    furthest.set(other, Math.min(first, furthest.get(other) ?? first));
  }
  const columns = closure.columns.map((cells, column) =>
    cells
      .filter((cell) => (cell >= 0 ? seen[cell].length : furthest.get(~cell) <= column))
      .map((cell) => ({ cell, y: 0, ...sizeOf(cell, seen, open) })),
  );
  const cellAt = columns.map((cells) => new Map(cells.map((cell) => [cell.cell, cell])));
  const steps = new Map(); // lines share lanes, and each piece is drawn once
  for (const [box, other] of edges) {
    let left = box;
    for (let column = closure.columnOf[box]; column < closure.columnOf[other]; column += 1) {
      const right = column + 1 < closure.columnOf[other] ? ~other : other;
      steps.set(`${column} ${left} ${right}`, [column, left, right]);
      left = right;
    }
  }
  let x = 0;
  columns.forEach((cells, column) => {
    const width = Math.max(0, ...cells.map((cell) => cell.width));
    for (const cell of cells) {
      cell.x = x;
      if (cell.cell < 0) cell.width = width;
      cell.right = x + width;
    }
    if (width) x += width + BETWEEN_COLUMNS;
  });
  settle(columns, cellAt, [...steps.values()]);
  const top = Math.min(0, ...columns.flat().map((cell) => cell.y));
  for (const cell of columns.flat()) cell.y -= top;
  return {
    cellAt,
    seen,
    steps: [...steps.values()],
    places: placesOf(columns, seen, open),
    width: Math.max(0, x - BETWEEN_COLUMNS),
    height: Math.max(0, ...columns.flat().map((cell) => cell.y + cell.height)),
  };
}

function sizeOf(cell, seen, open) {
  if (cell < 0) return { width: 0, height: LANE };
  if (!isGroup(cell) || !open.has(cell)) return { ...NODE };
  const across = chipsAcross(seen[cell].length);
  const down = Math.ceil(seen[cell].length / across);
  return {
    width: across * (NODE.width + GAP) + GAP,
    height: HEADER + down * (NODE.height + GAP),
  };
}

function chipsAcross(number) {
  return Math.max(1, Math.ceil(Math.sqrt((number * NODE.height) / NODE.width)));
}

// Each column in turn comes as near to its neighbours' heights as its order allows.
function settle(columns, cellAt, steps) {
  const lefts = new Map();
  const rights = new Map();
  for (const [column, left, right] of steps) {
    const [from, to] = [cellAt[column].get(left), cellAt[column + 1].get(right)];
    if (!rights.has(from)) rights.set(from, []);
    if (!lefts.has(to)) lefts.set(to, []);
    rights.get(from).push(to);
    lefts.get(to).push(from);
  }
  for (const cells of columns) pack(cells, cells.map(() => 0));
  for (let round = 0; round < SETTLING_ROUNDS; round += 1) {
    const forward = round % 2 === 0;
    const neighbours = forward ? lefts : rights;
    for (const cells of forward ? columns : [...columns].reverse()) {
      pack(
        cells,
        cells.map((cell) => {
          const others = neighbours.get(cell) ?? [cell];
          return others.reduce((sum, other) => sum + other.y + other.height / 2, 0) / others.length;
        }),
      );
    }
  }
}

// Least squares under a fixed order: neighbours that would overlap are pooled.
function pack(cells, wished) {
  let offset = 0;
  const offsets = cells.map((cell, index) => {
    if (index) offset += (cells[index - 1].height + cell.height) / 2 + GAP;
    return offset;
  });
  const pools = [];
  wished.forEach((centre, index) => {
    let pool = { sum: centre - offsets[index], count: 1 };
    while (pools.length && pools.at(-1).sum / pools.at(-1).count > pool.sum / pool.count) {
      const last = pools.pop();
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
  });
  let index = 0;
  for (const pool of pools) {
    for (let member = 0; member < pool.count; member += 1, index += 1) {
      cells[index].y = pool.sum / pool.count + offsets[index] - cells[index].height / 2;
    }
  }
}

// What can be selected: a path by itself, or a box of many; by the keys "path 3", "box 2".
function placesOf(columns, seen, open) {
  const places = new Map();
  for (const cell of columns.flat()) {
    if (cell.cell < 0) continue;
    const paths = seen[cell.cell];
    const { x, y, width, height, right } = cell;
    if (!isGroup(cell.cell)) {
      places.set(`path ${paths[0]}`, { path: paths[0], x, y, width, height, right });
      continue;
    }
    places.set(`box ${cell.cell}`, { box: cell.cell, x, y, width, height, right });
    if (!open.has(cell.cell)) continue;
    const across = chipsAcross(paths.length);
    paths.forEach((path, index) => {
      places.set(`path ${path}`, {
        path,
        x: x + GAP + (index % across) * (NODE.width + GAP),
        y: y + HEADER + Math.floor(index / across) * (NODE.height + GAP),
        ...NODE,
        right,
      });
    });
  }
  return places;
}

/** Where a path is seen: by itself, or as the box that holds it. */
function placeOf(placed, path) {
  return placed.places.get(`path ${path}`) ?? placed.places.get(`box ${closure.boxOf[path]}`);
}
