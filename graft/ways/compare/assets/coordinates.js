// Where boxes stand: layers from top to bottom, each as many lines as its boxes need in the width.
const NODE = { least: 72, most: 300, height: 24 };
const PADDING = 12;
const GAP = 10;
const BETWEEN_LINES = 7;
const BETWEEN_LAYERS = { least: 13, most: 32 };
const HEADER = 28;

/**
 * Places what is to be seen.
 * @param {(path: number) => boolean} isVisible
 * @param {Set<number>} open the boxes whose paths are shown one by one
 * @param {{width: number, height: number}} room the lines of a layer have that width, and the
 *   layers come nearer to each other for that height
 * @returns places of paths and boxes, the lines between boxes, and the size of all
 */
function place(isVisible, open, room) {
  const seen = closure.boxes.map((paths) => paths.filter(isVisible));
  const edges = closure.edges.filter(([box, other]) => seen[box].length && seen[other].length);
  const cellOf = new Map();
  const layers = closure.columns
    .map((cells) => cells.filter((cell) => cell >= 0 && seen[cell].length))
    .filter((boxes) => boxes.length)
    .map((boxes) => inLines(boxes.map((box) => ({ box, ...sizeOf(box, seen, open, room.width) })), room.width));
  const lines = layers.flat();
  const between = betweenLayers(layers, room.height);
  let y = 0;
  for (const layer of layers) {
    if (y) y += between - BETWEEN_LINES;
    for (const line of layer) {
      let x = 0;
      for (const cell of line) {
        Object.assign(cell, { x, y });
        cellOf.set(cell.box, cell);
        x += cell.width + GAP;
      }
      y += heightOf(line) + BETWEEN_LINES;
    }
  }
  const width = Math.max(0, ...lines.map(lengthOf));
  for (const line of lines) {
    const aside = (width - lengthOf(line)) / 2;
    for (const cell of line) cell.x += aside;
  }
  return {
    seen,
    edges: edges.map(([box, other]) => [cellOf.get(box), cellOf.get(other)]),
    places: placesOf(cellOf, seen, open, room.width),
    width,
    height: Math.max(0, y - BETWEEN_LINES),
  };
}

const heightOf = (line) => Math.max(...line.map((cell) => cell.height));

// As much as the height leaves, within limits.
function betweenLayers(layers, height) {
  const filled = layers
    .map((lines) => lines.reduce((sum, line) => sum + heightOf(line) + BETWEEN_LINES, -BETWEEN_LINES))
    .reduce((sum, layer) => sum + layer, 0);
  const left = (height - filled) / Math.max(1, layers.length - 1);
  return Math.max(BETWEEN_LAYERS.least, Math.min(BETWEEN_LAYERS.most, left));
}

const lengthOf = (line) => line.reduce((sum, cell) => sum + cell.width + GAP, -GAP);

// As few lines as the width allows, of about the same length.
function inLines(cells, room) {
  const number = Math.ceil((lengthOf(cells) + GAP) / (room + GAP));
  const wished = lengthOf(cells) / number;
  const lines = [[]];
  for (const cell of cells) {
    const line = lines.at(-1);
    const length = lengthOf([...line, cell]);
    const full = length > room || (lengthOf(line) >= wished && lines.length < number);
    if (line.length && full) lines.push([cell]);
    else line.push(cell);
  }
  return lines;
}

function sizeOf(box, seen, open, room) {
  if (!isGroup(box)) return { width: widthOf(nameOf(seen[box][0])), height: NODE.height };
  if (!open.has(box)) return { width: widthOf(groupName(seen[box], false)), height: NODE.height };
  const { across, chip } = chipsOf(seen[box], room);
  const down = Math.ceil(seen[box].length / across);
  return {
    width: Math.max(widthOf(groupName(seen[box], true)), across * (chip + GAP) + GAP),
    height: HEADER + down * (NODE.height + GAP),
  };
}

// The paths of an open box are of one width, and make about a square that fits the room.
function chipsOf(paths, room) {
  const chip = Math.max(...paths.map((path) => widthOf(nameOf(path))));
  const square = Math.ceil(Math.sqrt((paths.length * (NODE.height + GAP)) / (chip + GAP)));
  return { chip, across: Math.max(1, Math.min(square, Math.floor((room - GAP) / (chip + GAP)))) };
}

const widthOf = (text) => Math.min(NODE.most, Math.max(NODE.least, Math.ceil(textWidth(text)) + 2 * PADDING + 2));

function groupName(paths, isOpen) {
  return `${isOpen ? "▾" : "▸"} ${paths.length.toLocaleString("en")} ${closure.roles[paths[0]]}`;
}

// What can be selected: a path by itself, or a box of many; by the keys "path 3", "box 2".
function placesOf(cellOf, seen, open, room) {
  const places = new Map();
  for (const [box, { x, y, width, height }] of cellOf) {
    const paths = seen[box];
    if (!isGroup(box)) {
      places.set(`path ${paths[0]}`, { path: paths[0], x, y, width, height });
      continue;
    }
    places.set(`box ${box}`, { box, x, y, width, height });
    if (!open.has(box)) continue;
    const { across, chip } = chipsOf(paths, room);
    paths.forEach((path, index) => {
      places.set(`path ${path}`, {
        path,
        x: x + GAP + (index % across) * (chip + GAP),
        y: y + HEADER + Math.floor(index / across) * (NODE.height + GAP),
        width: chip,
        height: NODE.height,
      });
    });
  }
  return places;
}

/** Where a path is seen: by itself, or as the box that holds it. */
function placeOf(placed, path) {
  return placed.places.get(`path ${path}`) ?? placed.places.get(`box ${closure.boxOf[path]}`);
}
