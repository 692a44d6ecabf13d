/*
 * utf8.c - texts of the server's encoding as UTF-8; see utf8.h.
 *
 * pg_server_to_any() looks its conversion up for every text, and raises an error for one that cannot be converted.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "utf8.h"

/* A database's encoding never changes, so what converts it is looked up once in a backend. fn_oid 0: there is nothing. */
static FmgrInfo conversion;
static bool conversion_is_known = false;

static void
find_conversion(void)
{
	Oid			function = FindDefaultConversionProc(GetDatabaseEncoding(), PG_UTF8);

	if (OidIsValid(function))
		fmgr_info_cxt(function, &conversion, TopMemoryContext);
	conversion_is_known = true;
}

const char *
utf8_from_server(const char *text, int *size)
{
	int			encoding = GetDatabaseEncoding();
	Size		capacity = (Size) *size * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;
	int			done;

	/* SQL_ASCII is any encoding and none. */
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || *size == 0)
		return text;
	/* A message of no transaction may come before any row did; catalogs cannot be read then, and its prefix is mostly ASCII. */
	if (!conversion_is_known && IsTransactionState())
		find_conversion();
	if (!OidIsValid(conversion.fn_oid) || capacity > MaxAllocHugeSize)
		return text;
	converted = palloc_extended(capacity, MCXT_ALLOC_HUGE);
	done = DatumGetInt32(FunctionCall6(&conversion, Int32GetDatum(encoding), Int32GetDatum(PG_UTF8),
									   CStringGetDatum(text), CStringGetDatum(converted), Int32GetDatum(*size),
									   BoolGetDatum(true)));
	if (done != *size)
		return text;
	*size = strlen(converted);
	return converted;
}
