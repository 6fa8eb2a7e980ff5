// SPDX-License-Identifier: Apache-2.0
// What the device says of itself, asked for each second. Names in it come from anyone: they are put in as text only.
"use strict";

const INTERVAL_MS = 1000;
const PATIENCE_MS = 5000; // for an answer
const PHASES = {
  check: "Comparing the flash with the new system",
  prepare: "Writing what the old system does not need",
  stage: "Staging the last step",
  commit: "The last step",
  retry: "The connection broke, and is made again",
  done: "All is written",
  failed: "Failed",
};
const TITLES = {
  starts: "Looking at the device",
  asks: "Ready to replace the system",
  works: "The system is being replaced",
  stays: "The system was not replaced",
  ends: "The device restarts",
};

let last = null; // what it said last
let silent = 0; // how often it has not answered since
let uploading = false;

const element = id => document.getElementById(id);
const show = (id, visible) => { element(id).hidden = !visible; };
const clean = text => text.replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd");
const seconds = ms => ms < 1000 ? (ms / 1000).toFixed(2) + " s" : Math.round(ms / 1000) + " s";
const isLast = status => status !== null && status.stage === "works" && status.phase === "commit";

function showText(id, text) {
  if (element(id).textContent !== text) {
    element(id).textContent = text; // only what is new is read out
  }
}

function rowsOf(plan) {
  const window = plan.window_ms_maximum === 0 ? "none" :
    `${seconds(plan.window_ms)}, at most ${seconds(plan.window_ms_maximum)}, in the last step`;
  const rows = [["To write", `${plan.write} of ${plan.total} sectors, about ${seconds(plan.flash_ms)}`],
                ["A power loss is fatal for", window]];
  if (plan.moves) {
    rows.push(["On the way", "this app moves to another slot, and restarts"]);
  }
  if (plan.download > 0) {
    rows.push(["To download", `${Math.ceil(plan.download / 1024)} KiB`]);
  }
  return rows;
}

function showPlan(plan) {
  const nodes = rowsOf(plan).flatMap(([name, value]) => [["dt", name], ["dd", value]]).map(([tag, text]) => {
    const node = document.createElement(tag);
    node.textContent = text;
    return node;
  });
  element("plan").replaceChildren(...nodes);
}

function textOf(status) {
  switch (status.stage) {
  case "asks":
    return "Nothing was changed so far.";
  case "works":
    return isLast(status) ? "A power loss now leaves a device that needs a cable." :
      "A power loss now costs nothing: it goes on from here. A warning comes before the last step.";
  case "stays":
    return status.old_app !== "" ? "The old app is still whole." : "No old app is offered: none is whole, or the new one may be.";
  case "ends":
    return status.phase === "done" ? "All is written. This page ends here: the new system has its own." : "Wait a moment.";
  default:
    return "";
  }
}

function showProgress(status) {
  const runs = status.stage === "works" || status.stage === "starts";
  show("progress", runs && status.phase !== undefined && status.of > 0);
  if (status.of > 0) {
    const percent = Math.floor(100 * status.done / status.of);
    showText("phase", `${PHASES[status.phase]}: ${percent} %`);
    element("bar").value = percent;
  }
}

function showStatus(status) {
  const offers = status.stage === "asks" || status.stage === "stays";
  showText("title", TITLES[status.stage]);
  showText("text", textOf(status));
  element("reason").firstElementChild.textContent = clean(status.reason);
  show("reason", status.stage === "stays" && status.reason !== "");
  show("warning", isLast(status));
  showProgress(status);
  show("plan", status.plan !== undefined && status.stage !== "ends");
  if (status.plan !== undefined) {
    showPlan(status.plan);
  }
  show("actions", offers);
  show("begin", status.stage === "asks");
  show("again", status.stage === "stays");
  show("back", status.old_app !== "");
  showText("back", `Back to the old app: ${clean(status.old_app)}`);
  show("upload", status.room > 0);
  showText("room", `A .bin file of an app for ${status.chip}, of at most ${Math.floor(status.room / 1024)} KiB. ` +
    (status.old_app !== "" ? "It may take the place of the old app." : ""));
}

// It may write, restart, or run a new system already: which, it does not say.
function showSilence() {
  showText("title", "The device does not answer");
  show("actions", false);
  if (isLast(last)) {
    show("warning", true);
    showText("text", "It writes the last step, and then restarts into the new system. Leave it alone for a minute.");
  } else if (last !== null && last.phase === "done") {
    showText("text", "It has restarted into the new system. This page ends here.");
  } else {
    showText("text", "It restarts, or is in another network now. Do not cut the power.");
  }
}

async function fetchStatus() {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), PATIENCE_MS);
  try {
    const response = await fetch("/status", {cache: "no-store", signal: control.signal});
    return response.ok ? await response.json() : {};
  } finally {
    clearTimeout(timer);
  }
}

async function ask() {
  if (uploading) {
    return; // the device does one thing after another
  }
  try {
    const status = await fetchStatus();
    if (!(status.stage in TITLES)) {
      throw new Error("another system answers");
    }
    last = status;
    silent = 0;
    showStatus(status);
  } catch {
    silent += 1;
    if (silent > 1) {
      showSilence();
    }
  }
}

async function wish(path) {
  try {
    const response = await fetch(path, {method: "POST", headers: {"X-Token": last.token}});
    showText("answer", await response.text());
  } catch {
    showText("answer", "The device did not answer.");
  }
}

function send() {
  const file = element("file").files[0];
  if (file === undefined) {
    showText("answer", "Choose a file first.");
    return;
  }
  const request = new XMLHttpRequest(); // fetch() does not tell how far it is
  uploading = true;
  const end = text => {
    uploading = false;
    show("sent", false);
    element("send").disabled = false;
    showText("answer", text);
  };
  request.upload.onprogress = event => { element("sent").value = 100 * event.loaded / event.total; };
  request.onload = () => end(request.responseText);
  request.onerror = () => end("The upload broke off.");
  element("send").disabled = true;
  show("sent", true);
  showText("answer", "Uploading. Do not cut the power.");
  request.open("POST", "/upload");
  request.setRequestHeader("X-Token", last.token);
  request.send(file);
}

for (const path of ["begin", "again", "back"]) {
  element(path).addEventListener("click", () => wish("/" + path));
}
element("send").addEventListener("click", send);
(async () => {
  for (;;) {
    await ask();
    await new Promise(resolve => setTimeout(resolve, INTERVAL_MS));
  }
})();
