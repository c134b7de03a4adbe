// Asks the questions, and says how things are once somebody has committed to a guess.

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const prose = (text) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const question = (q, i, chosen) => `
  <fieldset data-question="${i}">
    <legend>${prose(q.ask)}</legend>
    ${q.options
      .map((option, k) => {
        const state = chosen < 0 ? "" : k === q.answer ? "right" : k === chosen ? "wrong" : "rest";
        const mark = { right: "✓ ", wrong: "✗ " }[state] ?? "";
        return `<button type="button" class="${state}" data-option="${k}" aria-pressed="${k === chosen}">${mark}${prose(option)}</button>`;
      })
      .join("")}
    <p class="why" aria-live="polite">${chosen < 0 ? "" : prose(q.why)}</p>
  </fieldset>`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "kk kk-predict";
  el.append(root);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-option]");
    if (!button) return;
    const i = Number(button.closest("[data-question]").dataset.question);
    const chosen = [...model.get("chosen")];
    chosen[i] = Number(button.dataset.option);
    model.set("chosen", chosen);
    model.save_changes();
    root.querySelector(`[data-question="${i}"] [data-option="${chosen[i]}"]`).focus();
  });
  const draw = () => {
    const chosen = model.get("chosen");
    root.innerHTML = model.get("questions").map((q, i) => question(q, i, chosen[i])).join("");
  };
  model.on("change:chosen", draw);
  draw();
}

export default { render };
