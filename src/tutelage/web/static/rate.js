/* Keys and time on the rating page. Everything that is decided is decided on the server; here a key
   press becomes "press X on response B", and the seconds in which somebody was at work are counted. */
(() => {
  const KEYS_OFF = "tutelage-keys-off";
  const TICK_SECONDS = 10;
  const IDLE_SECONDS = 180;
  let seconds = 0;
  let lastSign = Date.now();

  const writing = (element) =>
    element && (element.matches("textarea, select, input:not([type=checkbox])") || element.isContentEditable);
  const ready = () => typeof emitEvent === "function" && typeof mounted_app === "object" && mounted_app;
  const say = (name, value) => ready() && emitEvent(name, value);
  const dialogOpen = () => document.querySelector("dialog[open]");

  /* What is being written goes out when its field is left: leave it, and come back. */
  function flush() {
    const field = document.activeElement;
    if (writing(field)) field.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function pressed(event) {
    lastSign = Date.now();
    const here = document.activeElement;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && !dialogOpen()) {
      event.preventDefault();
      flush();
      say("finish", seconds);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || writing(here) || dialogOpen()) return;
    const row = here?.closest?.(".grip")?.closest("[data-key]");
    if (row && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      say("press", { key: row.dataset.key, press: event.key });
      return;
    }
    if (localStorage.getItem(KEYS_OFF)) return;
    const letter = event.key.length === 1 ? event.key.toUpperCase() : "";
    const card = /^[A-I]$/.test(letter) && document.querySelector(`.response[data-key="${letter}"]`);
    if (card) {
      event.preventDefault();
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest" });
      return;
    }
    const of = here?.closest?.("[data-key]");
    if (of && (/^[0-9=]$/.test(event.key) || event.key === "Delete" || event.key === "Backspace")) {
      event.preventDefault();
      say("press", { key: of.dataset.key, press: event.key });
    }
  }

  function tick() {
    if (document.visibilityState === "visible" && Date.now() - lastSign < IDLE_SECONDS * 1000) {
      seconds += 1;
      if (seconds % TICK_SECONDS === 0) say("tick", seconds);
    }
  }

  document.addEventListener("keydown", pressed);
  for (const sign of ["pointerdown", "pointermove", "scroll", "touchstart"]) {
    document.addEventListener(sign, () => (lastSign = Date.now()), { passive: true, capture: true });
  }
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && say("tick", seconds));
  document.addEventListener("change", (event) => {
    if (event.target.id !== "keys-on") return;
    event.target.checked ? localStorage.removeItem(KEYS_OFF) : localStorage.setItem(KEYS_OFF, "1");
  });
  setInterval(tick, 1000);

  window.tutelage = {
    seconds: () => seconds,
    /* A new prompt: its time starts where its draft left off, and reading starts at its top. */
    begin(from, quietly) {
      seconds = from;
      const keys = document.getElementById("keys-on");
      if (keys) keys.checked = !localStorage.getItem(KEYS_OFF);
      if (!quietly) this.top("prompt");
    },
    /* The page has another content: to its top, and to the element to go on from. */
    top(id) {
      Vue.nextTick(() => {
        window.scrollTo(0, 0);
        document.getElementById(id)?.focus({ preventScroll: true });
      });
    },
    /* A row that was moved lost the focus: give it back. */
    refocus(id) {
      Vue.nextTick(() => {
        const held = document.activeElement;
        if (!held || held === document.body) document.getElementById(id)?.focus();
      });
    },
  };
})();
