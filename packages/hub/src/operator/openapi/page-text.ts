/** Texts of the OpenAPI document as HTML: paragraphs, lists and code, as much of Markdown as it uses. Pure. */
import type { Json } from '@downlink/protocol'

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** The text as it stands between tags, or within a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/** The value where it is a text, as the document has it; else nothing. */
export function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** Paragraphs and lists; what stands between backticks is code. */
export function proseHtml(text: string): string {
  if (text === '') return ''
  return text
    .split('\n\n')
    .map((block) => {
      const lines = block.split('\n')
      const items = lines
        .filter((line) => line.startsWith('- '))
        .map((line) => `<li>${inline(line.slice(2))}</li>`)
      const rest = lines.filter((line) => !line.startsWith('- ')).join(' ')
      return `${rest === '' ? '' : `<p>${inline(rest)}</p>`}${items.length === 0 ? '' : `<ul>${items.join('')}</ul>`}`
    })
    .join('\n')
}

function inline(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}
