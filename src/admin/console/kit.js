// The rendering library of every module: preact with htm, as one import.
import { h, render, Fragment, createContext } from "./vendor/preact.mjs";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "./vendor/hooks.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);
export { h, render, Fragment, createContext, useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback };
