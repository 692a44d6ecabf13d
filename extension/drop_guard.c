/*
 * drop_guard.c - DROP EXTENSION walhouse is refused while it has pipelines.
 *
 * Each pipeline has a replication slot, which knows nothing of extensions: dropped under it, nobody would read the slot any
 * more and it would keep WAL until the disk is full. So the server asks here before it drops an object, and the drop of
 * the table walhouse.pipeline is refused while there are rows in it. That table goes with the extension whatever
 * takes it away, DROP EXTENSION, DROP SCHEMA ... CASCADE or DROP OWNED; it cannot be dropped alone. (DROP DATABASE is refused
 * by the server itself: the slot belongs to the database.)
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "walhouse.h"

static object_access_hook_type previous_hook = NULL;

/* Is it the extension's own table of pipelines, not one that happens to be called so? */
static bool
is_pipeline_table(Oid relation_oid)
{
	char	   *name = get_rel_name(relation_oid);
	Oid			extension_oid;

	if (name == NULL || strcmp(name, "pipeline") != 0)
		return false;
	extension_oid = get_extension_oid("walhouse", true);
	return OidIsValid(extension_oid) && getExtensionOfObject(RelationRelationId, relation_oid) == extension_oid;
}

/* The pipelines' names as a list, empty when there is none. The caller is dropping the table, and so has it locked. */
static char *
list_pipelines(Oid relation_oid)
{
	AttrNumber	attribute = get_attnum(relation_oid, "name");
	Relation	relation = table_open(relation_oid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	StringInfoData names;
	HeapTuple	tuple;

	initStringInfo(&names);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool		is_null;
		Datum		name = heap_getattr(tuple, attribute, RelationGetDescr(relation), &is_null);

		if (is_null)			/* never: it is the key */
			continue;
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", TextDatumGetCString(name));
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return names.data;
}

static void
refuse_drop(ObjectAccessType access, Oid class_oid, Oid object_oid, int sub_id, void *arg)
{
	char	   *names;

	if (previous_hook)
		previous_hook(access, class_oid, object_oid, sub_id, arg);
	if (access != OAT_DROP || class_oid != RelationRelationId || sub_id != 0 || !is_pipeline_table(object_oid))
		return;
	names = list_pipelines(object_oid);
	if (names[0] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop extension walhouse while it has pipelines"),
				 errdetail("Pipelines: %s.", names),
				 errhint("Call walhouse.drop_pipeline() for each: it stops the publisher and drops the replication slot.")));
}

void
walhouse_guard_drop(void)
{
	previous_hook = object_access_hook;
	object_access_hook = refuse_drop;
}
