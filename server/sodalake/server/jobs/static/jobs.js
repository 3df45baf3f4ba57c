// The page of a job, kept up to date: WAIT returns when the phase changes, and every two seconds with the progress.
"use strict";

const UWS = "http://www.ivoa.net/xml/UWS/v1.0";
const OURS = null; // what is in jobInfo has no namespace
const SECONDS = 2;

const state = document.getElementById("state");

function text(root, namespace, name) {
  const element = root.getElementsByTagNameNS(namespace, name)[0];
  return element ? element.textContent : "";
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return value.toFixed(unit === 0 || value >= 99.95 ? 0 : 1) + " " + units[unit];
}

function show(job) {
  const count = (name) => Number(text(job, OURS, name) || 0);
  const total = count("total"), failed = count("failed"), bytes = count("bytes");
  if (!total) return;
  document.getElementById("progress").value = Number(text(job, OURS, "percent"));
  document.getElementById("done").textContent =
    `${count("done").toLocaleString("en")} of ${total.toLocaleString("en")}` +
    (failed ? `, ${failed.toLocaleString("en")} failed` : "") + (bytes ? `, ${size(bytes)}` : "");
}

async function follow() {
  const { url, phase } = state.dataset;
  let pause = 1;
  for (;;) {
    try {
      const answer = await fetch(`${url}?WAIT=${SECONDS}&PHASE=${phase}`, { headers: { Accept: "text/xml" } });
      if (answer.status === 404) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const job = new DOMParser().parseFromString(await answer.text(), "text/xml");
      if (text(job, UWS, "phase") !== phase) { location.reload(); return; }
      show(job);
      pause = 1;
    } catch {
      // The service is away, or restarts: ask again, less and less often.
      await new Promise((go) => setTimeout(go, 1000 * pause));
      pause = Math.min(2 * pause, 30);
    }
    if (document.hidden) {
      await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
    }
  }
}

for (const button of document.querySelectorAll("button[data-confirm]")) {
  button.addEventListener("click", (event) => {
    if (!window.confirm(button.dataset.confirm)) event.preventDefault();
  });
}
if (state && state.dataset.active === "yes") follow();
