/** Lists of geofences that are filled again and again without making anything anew. */

/** The first `length` of `ids` count; the array is a larger one after it had to grow. */
export interface FenceIds {
  ids: Int32Array
  length: number
}

/** An empty list with room for `room` ids. */
export function fenceIds(room = 64): FenceIds {
  return { ids: new Int32Array(room), length: 0 }
}

/** Makes room for `more` ids behind those that are there. */
export function reserve(list: FenceIds, more: number): void {
  const needed = list.length + more
  if (needed <= list.ids.length) return
  const grown = new Int32Array(Math.max(needed, 2 * list.ids.length))
  grown.set(list.ids.subarray(0, list.length))
  list.ids = grown
}

/** Place of an id in an ascending list without duplicates, −1 = it is not there. */
export function placeOf(ascending: Int32Array, id: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! < id) low = middle + 1
    else high = middle
  }
  return ascending[low] === id ? low : -1
}

/** Up to so many ids are put in order one by one. */
const FEW = 32

/** Puts the ids from number `first` on in ascending order. */
export function sortFrom(list: FenceIds, first: number): void {
  const { ids, length } = list
  if (length - first > FEW) {
    for (let i = first + 1; i < length; i++) {
      if (ids[i]! < ids[i - 1]!) {
        ids.subarray(first, length).sort()
        return
      }
    }
    return
  }
  for (let i = first + 1; i < length; i++) {
    const id = ids[i]!
    let at = i
    while (at > first && ids[at - 1]! > id) {
      ids[at] = ids[at - 1]!
      at--
    }
    ids[at] = id
  }
}
