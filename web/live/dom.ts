/** The element with an id, of a kind. */
export function element<K extends keyof HTMLElementTagNameMap>(id: string, kind: K): HTMLElementTagNameMap[K] {
  const found = document.getElementById(id)
  if (found?.localName !== kind) throw new Error(`the page has no ${kind} ${id}`)
  return found as HTMLElementTagNameMap[K]
}

/** Sets a text where it changes: untouched nodes cost no layout. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}

/** Makes the options of a select those of the names, and leaves the chosen one chosen. Returns the chosen name. */
export function setOptions(select: HTMLSelectElement, options: { value: string; text: string }[]): string {
  const same = select.options.length === options.length && options.every(({ value, text }, i) => select.options[i]!.value === value && select.options[i]!.text === text)
  if (!same) {
    const chosen = select.value
    select.replaceChildren(...options.map(({ value, text }) => new Option(text, value)))
    if (options.some(({ value }) => value === chosen)) select.value = chosen
  }
  return select.value
}

export function row(cells: (string | Node)[], numbers: readonly number[]): HTMLTableRowElement {
  const tr = document.createElement('tr')
  for (const [i, cell] of cells.entries()) {
    const td = document.createElement('td')
    if (numbers.includes(i)) td.className = 'number'
    td.append(cell)
    tr.append(td)
  }
  return tr
}
