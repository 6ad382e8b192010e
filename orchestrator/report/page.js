// Draws each figure from the specification that stands beside it.

// Vega does not break titles, and cuts what is wider than the page.
function broken(title, most) {
  const lines = [""];
  for (const word of title.split(" ")) {
    const line = lines.at(-1);
    if (line && line.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines.length > 1 ? lines : title;
}

function breakTitles(spec, most) {
  const x = spec.encoding?.x;
  if (typeof x?.title === "string") x.title = broken(x.title, most);
  for (const layer of spec.layer ?? []) breakTitles(layer, most);
  return spec;
}

// A table of what is known: an interval that could not be measured is not shown as null.
function tooltip(value, asText) {
  if (typeof value !== "object") return asText(value);
  const known = Object.entries(value).filter(([, part]) => part !== null && part !== "null");
  const rows = known.map(([name, part]) =>
    `<tr><td class="key">${asText(name)}</td><td class="value">${asText(part)}</td></tr>`);
  return `<table><tbody>${rows.join("")}</tbody></table>`;
}

const options = {
  actions: false, renderer: "svg", mode: "vega-lite", tooltip: {formatTooltip: tooltip},
};
for (const node of document.querySelectorAll("script.spec")) {
  const chart = node.previousElementSibling;
  const room = chart.clientWidth - 130;  // beside the labels of the other axis
  const spec = breakTitles(JSON.parse(node.textContent), room / 6.5);
  const legend = spec.config.legend;
  legend.labelLimit = Math.min(legend.labelLimit, room);
  vegaEmbed(chart, spec, options)
    .then(({view}) => {
      // The columns of a legend follow from the width: what is above the figure has grown since.
      const fit = () => view.resize().runAsync();
      addEventListener("resize", fit);
      return fit();
    })
    .then(() => { chart.dataset.drawn = "yes"; })
    .catch((error) => { chart.textContent = "This figure could not be drawn: " + error.message; });
}
