// Two pictures, one over the other, with a divider between them.
const SHOT = { series: 0, channel: 1, cbr: 2, snr: 3, image: 4, realisation: 5, psnr_db: 6, ms_ssim: 7, lpips: 8, cbr_billed: 9, outage: 10 };
const SOURCE = "source";
const view = { image: null, condition: null, left: SOURCE, right: SOURCE, gain: 0, zoom: 1, share: 50 };
const decoded = new Map();

function decode(id) {
  if (!decoded.has(id)) {
    const packed = $(id);
    const image = new Image();
    image.src = `data:${packed.dataset.type};base64,${packed.textContent}`;
    decoded.set(id, image.decode().then(() => image));
    if (decoded.size > 24) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(id);
}

function conditionOf(shot) {
  return [shot[SHOT.channel], shot[SHOT.cbr], shot[SHOT.snr]].join(" ");
}

function conditionLabel(shot) {
  const parts = [`${data.snrs[shot[SHOT.snr]]} dB`];
  if (several.cbr) parts.push(`CBR ${data.cbrs[shot[SHOT.cbr]].label}`);
  if (several.channel) parts.push(data.channels[shot[SHOT.channel]]);
  return parts.join(", ");
}

function shotsHere() {
  return data.pictures.shots.map((shot, index) => ({ shot, index }))
    .filter(({ shot }) => shot[SHOT.image] === view.image && conditionOf(shot) === view.condition);
}

// Replace what a selection offers; keep the choice if it is still there.
function offer(select, options, wanted) {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  const there = options.some(([value]) => String(value) === String(wanted));
  select.value = there ? wanted : options[0][0];
  return select.value;
}

// The condition to open with: at the page's channel and CBR (or Es/N0), in the middle of the other axis.
function conditionOfPage(conditions) {
  const key = state.x === "snr" ? "cbr" : "snr";
  const here = conditions.filter((shot) => shot[SHOT.channel] === state.channel && shot[SHOT[key]] === state[key]);
  const among = here.length ? here : conditions;
  return conditionOf(among[Math.floor(among.length / 2)]);
}

function followPage() {
  const page = [state.x, state.channel, state.cbr, state.snr].join(" ");
  if (page === view.page) return;
  if (view.page !== undefined) view.condition = null;
  view.page = page;
  if (view.natural) showPictures();
}

// Show one row of the table, if its picture is here.
function shotOf(series, channel, cbr, snr, image) {
  return data.pictures.shots.some((shot) => shot[SHOT.series] === series && shot[SHOT.channel] === channel
    && shot[SHOT.cbr] === cbr && shot[SHOT.snr] === snr && shot[SHOT.image] === image);
}

function openShot(series, channel, cbr, snr, image) {
  Object.assign(view, { image, condition: [channel, cbr, snr].join(" "), left: SOURCE, right: String(series), chosen: true });
  $("pictures").scrollIntoView();
  showPictures();
}

function offerShots() {
  const shots = data.pictures.shots;
  const images = [...new Set(shots.map((shot) => shot[SHOT.image]))].sort((a, b) => a - b);
  view.image = Number(offer($("view-image"), images.map((image) => [image, data.images[image]]), view.image ?? images[0]));
  const there = new Map(shots.filter((shot) => shot[SHOT.image] === view.image).map((shot) => [conditionOf(shot), shot]));
  const order = (a, b) => a[SHOT.channel] - b[SHOT.channel] || a[SHOT.cbr] - b[SHOT.cbr] || a[SHOT.snr] - b[SHOT.snr];
  const conditions = [...there.values()].sort(order);
  const middle = conditionOfPage(conditions);
  view.condition = offer($("view-condition"), conditions.map((shot) => [conditionOf(shot), conditionLabel(shot)]), view.condition ?? middle);
  const schemes = shotsHere().map(({ shot }) => [shot[SHOT.series], data.series[shot[SHOT.series]].label]);
  const both = [[SOURCE, "source"], ...schemes];
  view.left = offer($("view-left"), both, view.left);
  view.right = offer($("view-right"), both, view.right === SOURCE && !view.chosen ? both.at(1)[0] : view.right);
  view.chosen = true;
}

function find(choice) {
  if (choice === SOURCE) return { id: `source-${view.image}`, label: "source", shot: null };
  const { shot, index } = shotsHere().find(({ shot }) => String(shot[SHOT.series]) === String(choice));
  return { id: `shot-${index}`, label: data.series[shot[SHOT.series]].label, shot };
}

async function paint(canvas, side) {
  const image = await decode(side.id);
  const source = view.gain ? await decode(`source-${view.image}`) : null;
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  if (source) {
    const first = context.getImageData(0, 0, canvas.width, canvas.height);
    context.drawImage(source, 0, 0);
    const second = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const pixels = first.data;
    for (let i = 0; i < pixels.length; i += 4) {
      const apart = Math.abs(pixels[i] - second[i]) + Math.abs(pixels[i + 1] - second[i + 1]) + Math.abs(pixels[i + 2] - second[i + 2]);
      pixels[i] = pixels[i + 1] = pixels[i + 2] = (view.gain * apart) / 3; // clamped by its type
    }
    context.putImageData(first, 0, 0);
  }
  canvas.setAttribute("aria-label", `${source ? `error of ${side.label}, ${view.gain} times` : side.label}, ${data.images[view.image]}, ${$("view-condition").selectedOptions[0].text}`);
}

function describe(place, side) {
  const { shot } = side;
  const lines = [element("b", {}, side.label)];
  if (shot === null) {
    lines.push(data.images[view.image]);
  } else if (shot[SHOT.outage]) {
    lines.push(`outage: nothing could be decoded, ${number(shot[SHOT.psnr_db], 2)} dB`);
  } else {
    const parts = [`PSNR ${number(shot[SHOT.psnr_db], 2)} dB`];
    if (shot[SHOT.ms_ssim] !== null) parts.push(`MS-SSIM ${number(shot[SHOT.ms_ssim], 4)}`);
    if (shot[SHOT.lpips] !== null) parts.push(`LPIPS ${number(shot[SHOT.lpips], 3)}`);
    parts.push(`CBR ${number(shot[SHOT.cbr_billed], 5)}`);
    if (data.realisations > 1) parts.push(`draw ${shot[SHOT.realisation]}`);
    lines.push(...parts.flatMap((text, place) => [place ? " · " : "", element("span", {}, text)]));
  }
  place.replaceChildren(...lines);
}

let turn = 0;
async function showPictures() {
  const mine = ++turn;
  offerShots();
  const sides = [find(view.left), find(view.right)];
  const ready = await Promise.all(sides.map((side) => decode(side.id)));
  if (mine !== turn) return; // chosen again meanwhile
  await Promise.all([paint($("left"), sides[0]), paint($("right"), sides[1])]);
  describe($("left-caption"), sides[0]);
  describe($("right-caption"), sides[1]);
  view.natural = [ready[0].naturalWidth, ready[0].naturalHeight];
  layOut();
}

function layOut() {
  if (!view.natural) return;
  const [width, height] = view.natural;
  const pane = $("window");
  const tallest = Math.min(0.78 * innerHeight, 720);
  const fit = Math.min(pane.clientWidth, Math.max(width, 512), tallest * (width / height));
  $("sheet").style.width = `${fit * view.zoom}px`;
  $("sheet").classList.toggle("sharp", fit * view.zoom > 1.5 * width);
  divide();
}

function divide() {
  const pane = $("window").getBoundingClientRect();
  const sheet = $("sheet").getBoundingClientRect();
  const left = Math.max(pane.left, sheet.left);
  const right = Math.min(pane.right, sheet.right);
  const x = left + (view.share / 100) * (right - left);
  $("left").style.clipPath = `inset(0 ${Math.max(sheet.right - x, 0)}px 0 0)`;
  $("divider").style.left = `${x - $("stage").getBoundingClientRect().left}px`;
  $("slider").style.width = `${right - left}px`;
  view.span = [left, right];
}

function drag(event) {
  const [left, right] = view.span;
  view.share = Math.min(100, Math.max(0, (100 * (event.clientX - left)) / (right - left)));
  $("slider").value = view.share;
  divide();
}

function addViewer() {
  const { shots, quality, images, conditions } = data.pictures;
  if (!shots.length) {
    const lead = $("pictures-lead");
    lead.textContent = "No pictures were kept. Run the same sweep once more with ";
    lead.append(element("code", {}, "--keep-images all"), ": rows that are there without a picture are computed again, then write this report anew.");
    return;
  }
  $("viewer").hidden = false;
  if (!several.cbr && !several.channel) $("view-condition").labels[0].firstChild.data = "Es/N0 ";
  $("pictures-lead").textContent = "What was sent and what two schemes made of it. Drag the divider, or move the slider below it.";
  const part = images[0] < images[1] || conditions[0] < conditions[1];
  $("view-note").textContent = [
    part ? `To keep this file small it holds ${images[0]} of ${images[1]} images at ${conditions[0]} of ${conditions[1]} conditions.` : "",
    quality === null ? "Pictures are stored without loss." : `Pictures are stored as WebP of quality ${quality}, which adds small errors of its own; the numbers are those of the originals.`,
    "Errors are absolute differences from the source, the mean of the three colours as grey, multiplied by the factor shown; black is no error.",
  ].join(" ");
  for (const [id, key] of [["view-image", "image"], ["view-condition", "condition"], ["view-left", "left"], ["view-right", "right"]]) {
    $(id).addEventListener("change", (event) => {
      view[key] = key === "image" ? Number(event.target.value) : event.target.value;
      showPictures();
    });
  }
  $("view-mode").addEventListener("change", (event) => { view.gain = Number(event.target.value); showPictures(); });
  $("view-zoom").addEventListener("change", (event) => { view.zoom = Number(event.target.value); layOut(); });
  $("slider").addEventListener("input", (event) => { view.share = Number(event.target.value); divide(); });
  $("window").addEventListener("scroll", divide);
  new ResizeObserver(layOut).observe($("window"));
  $("divider").addEventListener("pointerdown", (event) => {
    $("divider").setPointerCapture(event.pointerId);
    $("divider").addEventListener("pointermove", drag);
    event.preventDefault();
  });
  for (const end of ["pointerup", "pointercancel"]) $("divider").addEventListener(end, () => $("divider").removeEventListener("pointermove", drag));
  followPage();
  CHOICES.addEventListener("change", followPage);
  offerShots();
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    showPictures();
  }, { rootMargin: "400px" }).observe($("viewer"));
}
