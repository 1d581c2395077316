// Requests to the API of the server that served this page. Every URL is relative, so that the page works below a path
// of a reverse proxy.
import { t } from "./texts.js";

export class ApiError extends Error {
    constructor(status, code, detail) {
        super(detail);
        this.status = status;
        this.code = code;
    }
}

// What is told of the session: { user, role, open, csrf, test }.
export const session = { user: null, role: null, open: false, csrf: null };

// The routes that the server has, as far as they are known.
export const server = { routes: new Set() };

export const learnRoutes = async () => {
    const { paths } = await get("openapi.json");
    server.routes = new Set(Object.keys(paths).map((path) => path.split("/").pop()));
    if (session.test) server.routes.add("test");
};

const ROLES = ["viewer", "operator", "admin"];
export const may = (role) => ROLES.indexOf(session.role) >= ROLES.indexOf(role);

let onLogout = () => {};
export const whenLoggedOut = (f) => (onLogout = f);

const url = (path, query) => {
    const parts = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    return `api/v1/${path}${text ? `?${text}` : ""}`;
};

export const ask = async (method, path, { query, body, text, signal, headers: more } = {}) => {
    const headers = { ...more };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method !== "GET" && session.csrf) headers["X-Dunlin-CSRF"] = session.csrf;
    let response;
    try {
        response = await fetch(url(path, query), {
            method,
            headers,
            body: body !== undefined ? JSON.stringify(body) : text,
            signal,
            credentials: "same-origin",
        });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, "unreachable", t.unreachable);
    }
    if (!response.ok) throw await problem(response);
    return response;
};

const problem = async (response) => {
    const told = await response.json().catch(() => ({}));
    if (response.status === 401 && session.role) {
        session.role = null;
        onLogout();
    }
    return new ApiError(response.status, told.code ?? "error", told.detail ?? response.statusText);
};

const json = async (...all) => (await ask(...all)).json();
export const get = (path, query, signal) => json("GET", path, { query, signal });
export const post = (path, body, query) => json("POST", path, { body, query });
export const put = (path, body, query) => json("PUT", path, { body, query });
export const remove = (path, query) => json("DELETE", path, { query });
export const stream = (query, signal) => ask("GET", "live", { query, signal });
export const id = (text) => encodeURIComponent(text);

// Who is logged in. `false`: nobody, and somebody has to be.
export const whoami = async () => {
    try {
        Object.assign(session, await get("session"));
        return true;
    } catch (error) {
        if (error.status === 401) return false;
        if (error.status !== 404) throw error;
    }
    // a server without logins for pages: it lets this machine in, or nobody
    await get("broker");
    Object.assign(session, { user: null, role: "operator", open: true, csrf: null });
    return true;
};

export const login = async (body) => Object.assign(session, { open: false }, await post("session", body));

export const logout = async () => {
    await ask("DELETE", "session");
    Object.assign(session, { user: null, role: null, csrf: null });
    onLogout();
};
