/* Draws the charts one after another, so that the page can be read meanwhile, and folds their numbers away. */
(async function () {
  "use strict";
  const options = { ast: true, actions: false, renderer: "svg", tooltip: { theme: "page" } };
  for (const chart of document.querySelectorAll("figure.chart")) {
    try {
      const spec = JSON.parse(chart.querySelector('script[type="application/json"]').textContent);
      await vegaEmbed(chart.querySelector(".plot"), spec, options);
      chart.querySelector("details.numbers").open = false;
      chart.dataset.drawn = "yes";
    } catch (error) {
      chart.dataset.drawn = "no";
      console.error("A chart could not be drawn: " + error);
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.documentElement.dataset.ready = "yes";
})();
