/** Bad: a module that imports itself. */
import { itself } from './cycle-itself.ts' // expect: import/no-self-import, import/no-cycle
export const itselfAgain = (): unknown => itself
export { itselfAgain as itself }
