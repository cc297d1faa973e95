// Captured text with nothing in it that hides or turns round: controls, marks of direction and what has no width (also
// what joins emoji) as what they are.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Line ends and tabs stay. C0 controls are shown as their pictures (U+2400), others as \u202e. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (sign) => {
    const code = sign.codePointAt(0) ?? 0;
    if (sign === "\n" || sign === "\t") return sign;
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** In one line. */
export function inLine(text: string): string {
  return visible(text).replaceAll("\n", "\u240a").replaceAll("\t", "\u2409");
}
