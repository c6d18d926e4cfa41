// The API page: Swagger UI over this shop's own document, and a log-in whose token every request then has.
"use strict";

const SCHEME = "accessToken";
const RENEW_BEFORE_S = 60;

// Swagger UI has a dark coat of its own, which it wears where the root element says so.
const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

// A request that changes something gets a key of its own, unless its author chose one: pressed twice is ordered twice.
function keyed(request) {
  const chosen = Object.keys(request.headers).some((name) => name.toLowerCase() === "idempotency-key");
  if (request.method === "POST" && !chosen && !/"requestId"/.test(request.body ?? "")) {
    request.headers["Idempotency-Key"] = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  }
  return request;
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "none",
  filter: true,
  tryItOutEnabled: true,
  requestInterceptor: keyed,
  showMutatedRequest: true,
  validatorUrl: null,  // it would send the document to somebody else's server
});

const form = document.getElementById("log-in");
const logOut = document.getElementById("log-out");
const who = document.getElementById("who");
let session = null;  // in memory alone: what is not stored cannot be stolen from there
let renewal = null;

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message);
  return said;
}

function begin(tokens) {
  session = tokens;
  ui.preauthorizeApiKey(SCHEME, tokens.accessToken);
  who.textContent = `Logged in as ${tokens.user.email} (${tokens.user.role}).`;
  who.className = "";
  logOut.hidden = false;
  clearTimeout(renewal);
  renewal = setTimeout(renew, Math.max(1, tokens.expiresIn - RENEW_BEFORE_S) * 1000);
}

function end(text, className = "soft") {
  session = null;
  clearTimeout(renewal);
  ui.authActions.logout([SCHEME]);
  who.textContent = text;
  who.className = className;
  logOut.hidden = true;
}

async function renew() {
  try {
    begin({ ...session, ...await post("/v1/auth:refresh", { refreshToken: session.refreshToken }) });
  } catch (error) {
    end(`The session has ended: ${error.message}`, "bad");
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData(form));
  try {
    begin(await post("/v1/auth:login", { email, password }));
    form.elements.password.value = "";
  } catch (error) {
    end(error.message, "bad");
  }
});

logOut.addEventListener("click", async () => {
  const { refreshToken } = session;
  end("Nobody is logged in.");
  await post("/v1/auth:logout", { refreshToken }).catch(() => {});  // it ends by itself
});
