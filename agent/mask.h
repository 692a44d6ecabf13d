/*
 * mask.h - what is loaded in place of a value that nobody shall see in the warehouse.
 *
 * A hash is HMAC-SHA256 under the salt, 64 hexadecimal digits: equal values have equal hashes, in every
 * column and table, and without the salt nobody can try values out. What is hashed is the text of texts,
 * whole numbers, booleans and UUIDs, so that an integer keeps its hash when its type is widened, and the
 * RowBinary bytes of other types.
 */
#ifndef WALHOUSE_AGENT_MASK_H
#define WALHOUSE_AGENT_MASK_H

#include "extension/common/wire.h"

#define MASK_HASH_DIGITS 64
#define MASK_STARS       4 /* stand for what a partial mask hides, however much it is */

/* value is without its NULL byte, of a type without Nullable(). digits is not zero-terminated. false: no
 * memory. */
bool mask_hash(WhSlice type, WhSlice value, WhSlice salt, char digits[MASK_HASH_DIGITS]);

/*
 * The end of a text that a partial mask shows: that many characters, or none where the text has less than
 * twice as many. text is without its length.
 */
WhSlice mask_shown(WhSlice text, unsigned characters);

#endif
