/** Pieces of SVG as text, for pictures that are read on light and dark pages alike. Pure. */

/** Text that stands for itself in XML and HTML. */
export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** An element with its attributes; without content it closes itself. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  content?: string,
): string {
  const listed = Object.entries(attributes)
    .map(
      ([key, value]) =>
        ` ${key}="${typeof value === 'number' ? Number(value.toFixed(1)) : escapeXml(value)}"`,
    )
    .join('')
  return content === undefined ? `<${name}${listed}/>` : `<${name}${listed}>${content}</${name}>`
}

/** One line of text. */
export function label(x: number, y: number, text: string, classes = ''): string {
  return element('text', { x, y, ...(classes === '' ? {} : { class: classes }) }, escapeXml(text))
}

/** What pictures need of their page, or have of their own. The colours differ in lightness too, so that nobody needs to tell red from green. */
export const PICTURE_STYLE = `
text{font:12px system-ui,sans-serif;fill:#1f2328}
.head{font-weight:600}.quiet{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}
.reached{fill:#0969da}.missed{fill:#bc4c00}.peer{fill:#afb8c1}
.grid{stroke:#d1d9e0}.target{stroke:#1f2328;stroke-width:1.5}.range{stroke:#1f2328;stroke-opacity:.6}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}.quiet{fill:#9198a1}
.reached{fill:#4493f8}.missed{fill:#f0883e}.peer{fill:#656c76}
.grid{stroke:#3d444d}.target{stroke:#f0f6fc}.range{stroke:#f0f6fc}}`

/** A whole picture, for a page that has the style; `title` is what a screen reader says of it. */
export function picture(width: number, height: number, title: string, content: readonly string[]): string {
  const parts = [element('title', {}, escapeXml(title)), ...content]
  return element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img' },
    `\n${parts.join('\n')}\n`,
  )
}

/** The picture as a file of its own, which brings the style. */
export function standalone(drawn: string): string {
  return `${drawn.replace('</title>', `</title>\n${element('style', {}, PICTURE_STYLE)}`)}\n`
}
