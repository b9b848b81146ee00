// What part of the drawing is seen: moved and zoomed by mouse, touch, keys and buttons.
const ZOOM = { least: 0.04, most: 3, step: 1.3 };
const MARGIN = 16;
const DRAG_FROM = 4;

class Viewport {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.at = { x: 0, y: 0, zoom: 1 };
    this.pointers = new Map();
    this.dragged = false;
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#up(event));
    }
    // What ends a drag is no click on what lies below.
    canvas.addEventListener("click", (event) => this.dragged && event.stopPropagation(), true);
  }

  /**
   * Shows as much as fits; if that would be smaller than `least`, only what is at the top.
   * @param {{width: number, height: number}} area from the scene's corner
   */
  fit({ width, height }, least = 0) {
    const { clientWidth, clientHeight } = this.canvas;
    const room = { width: clientWidth - 2 * MARGIN, height: clientHeight - 2 * MARGIN };
    const whole = Math.min(1, room.width / Math.max(1, width), room.height / Math.max(1, height));
    const zoom = Math.max(least, whole, ZOOM.least);
    this.#go({
      zoom,
      x: MARGIN + Math.max(0, (room.width - width * zoom) / 2),
      y: MARGIN + Math.max(0, (room.height - height * zoom) / 2),
    });
  }

  /** The size of a scene that fits at a zoom. */
  room(zoom) {
    const { clientWidth, clientHeight } = this.canvas;
    return { width: (clientWidth - 2 * MARGIN) / zoom, height: (clientHeight - 2 * MARGIN) / zoom };
  }

  /** Brings a place into view, at a size that can be read. */
  reveal({ x, y, width, height }) {
    const zoom = Math.max(this.at.zoom, 0.7);
    const left = this.at.x + x * zoom;
    const top = this.at.y + y * zoom;
    const inside =
      zoom === this.at.zoom &&
      left >= 0 &&
      top >= 0 &&
      left + width * zoom <= this.canvas.clientWidth &&
      top + height * zoom <= this.canvas.clientHeight;
    if (inside) return;
    this.#go({
      zoom,
      x: this.canvas.clientWidth / 2 - (x + width / 2) * zoom,
      y: this.canvas.clientHeight / 2 - (y + Math.min(height, 400) / 2) * zoom,
    });
  }

  /** Keeps a point of the scene where it is on the screen while the scene changes. */
  hold(before, after) {
    this.#go({
      ...this.at,
      x: this.at.x + (before.x - after.x) * this.at.zoom,
      y: this.at.y + (before.y - after.y) * this.at.zoom,
    });
  }

  pan(dx, dy) {
    this.#go({ ...this.at, x: this.at.x + dx, y: this.at.y + dy });
  }

  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.at.zoom * factor));
    const by = zoom / this.at.zoom;
    this.#go({ zoom, x: x - (x - this.at.x) * by, y: y - (y - this.at.y) * by });
  }

  #go(at) {
    this.at = at;
    this.scene.style.transform = `translate(${at.x}px, ${at.y}px) scale(${at.zoom})`;
    this.canvas.classList.toggle("far", at.zoom < 0.35);
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !this.canvas.contains(document.activeElement)) return;
    event.preventDefault();
    const { left, top } = this.canvas.getBoundingClientRect();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoomBy(Math.exp(-event.deltaY * lines * 0.0015), event.clientX - left, event.clientY - top);
  }

  #down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.start = { x: event.clientX, y: event.clientY };
    this.dragged = false;
  }

  #move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const far = Math.hypot(event.clientX - this.start.x, event.clientY - this.start.y);
    if (!this.dragged && this.pointers.size === 1 && far < DRAG_FROM) return;
    this.dragged = true;
    this.canvas.setPointerCapture(event.pointerId);
    const now = { x: event.clientX, y: event.clientY };
    if (this.pointers.size === 1) {
      this.pan(now.x - last.x, now.y - last.y);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const { left, top } = this.canvas.getBoundingClientRect();
      const apart = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.zoomBy(apart(now) / apart(last), (now.x + other.x) / 2 - left, (now.y + other.y) / 2 - top);
      this.pan((now.x - last.x) / 2, (now.y - last.y) / 2);
    }
    this.pointers.set(event.pointerId, now);
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
  }
}
