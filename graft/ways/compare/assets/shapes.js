// Kinds of paths differ in outline as well as in colour.
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function rounded(x, y, w, h, r) {
  return `M${x + r} ${y}h${w - 2 * r}a${r} ${r} 0 0 1 ${r} ${r}v${h - 2 * r}a${r} ${r} 0 0 1 ${-r} ${r}h${2 * r - w}a${r} ${r} 0 0 1 ${-r} ${-r}v${2 * r - h}a${r} ${r} 0 0 1 ${r} ${-r}z`;
}

/** The outline of a kind of path in a width and a height. */
function outline(kind, w, h) {
  const cut = Math.min(8, h / 3);
  switch (kind) {
    case "root":
      return rounded(0, 0, w, h, 2) + rounded(3, 3, w - 6, h - 6, 1);
    case "replaced":
      return `M${cut} 0H${w - cut}L${w} ${cut}V${h - cut}L${w - cut} ${h}H${cut}L0 ${h - cut}V${cut}z`;
    case "new":
      return rounded(0, 0, w, h, h / 2);
    case "cutoff":
      return `M${cut} 0H${w - cut}L${w} ${h / 2}L${w - cut} ${h}H${cut}L0 ${h / 2}z`;
    case "pivotable":
      return `M${w / 2} 0L${w / 2 + h / 2} ${h / 2}L${w / 2} ${h}L${w / 2 - h / 2} ${h / 2}z`;
    default:
      return rounded(0, 0, w, h, 3);
  }
}

const LABEL_FONT = '12px system-ui, "DejaVu Sans", sans-serif';
const ruler = document.createElement("canvas").getContext("2d");

/** The width of a label in pixels. */
function textWidth(text) {
  ruler.font = LABEL_FONT;
  return ruler.measureText(text).width;
}

/** A text with its middle left out where it would be wider than so many pixels. */
function fitted(text, width) {
  if (textWidth(text) <= width) return text;
  for (let kept = text.length - 1; kept > 4; kept -= 1) {
    const tail = Math.floor(kept / 3);
    const shorter = `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`;
    if (textWidth(shorter) <= width) return shorter;
  }
  return "…";
}
