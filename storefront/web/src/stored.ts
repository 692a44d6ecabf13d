// State that survives a reload, in the browser's store. A browser that forbids the store still has a working shop.
import { useCallback, useState } from "react";

function read(key: string): string | null {
  try {
    return window.localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, text: string): void {
  try {
    window.localStorage.setItem(key, text);
  } catch {
    // Kept for this visit only.
  }
}

export function useStored<T>(
  key: string,
  parse: (text: string | null) => T,
  print: (value: T) => string,
): [T, (value: T) => void] {
  const [value, setValue] = useState(() => {
    const first = parse(read(key));
    write(key, print(first));
    return first;
  });
  const change = useCallback(
    (next: T) => {
      setValue(next);
      write(key, print(next));
    },
    [key, print],
  );
  return [value, change];
}
