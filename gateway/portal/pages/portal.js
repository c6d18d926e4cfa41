// The landing page and the page of states: where this is, and how it is.
"use strict";

const PERIOD_MS = 2000;

for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;
for (const place of document.querySelectorAll("[data-host]")) place.textContent = location.host;

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function cell(text, className = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = className;
  return made;
}

function show(health) {
  const whole = document.getElementById("health");
  const well = health.services.filter((service) => service.state === "SERVING").length;
  whole.textContent = `${health.status}: ${well} of ${health.services.length} services are well`;
  whole.className = `state ${health.status}`;
  const version = document.getElementById("version");
  if (version) version.textContent = health.services.find((service) => service.version)?.version ?? "";
  const rows = document.getElementById("services");
  if (!rows) return;
  document.getElementById("asked").textContent = new Date().toLocaleTimeString();
  rows.replaceChildren(...health.services.map((service) => {
    const row = document.createElement("tr");
    row.append(
      cell(service.service),
      cell(service.state, `state ${service.state}`),
      cell(service.state === "NOT_SERVING" ? "" : duration(service.uptimeSeconds)),
      cell(service.version),
      cell(service.reason, "why"),
    );
    return row;
  }));
}

async function look() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store" });
    show(await answer.json());  // 503 has the same body: it says what is wrong
  } catch (error) {
    const whole = document.getElementById("health");
    whole.textContent = `NOT_SERVING: the edge does not answer (${error.message})`;
    whole.className = "state NOT_SERVING";
  }
  setTimeout(look, PERIOD_MS);
}

look();
