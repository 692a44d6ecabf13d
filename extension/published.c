/*
 * published.c - what a list of publications says about one relation; see published.h.
 *
 *		publications --> those that have it, or an ancestor of it --> under whose name: the topmost ancestor
 *		                                                         \--> of that one: column list, row filters
 *
 * The rules are pgoutput's, so that a publication selects the same rows for Walhouse as for a subscription. They are read
 * when a schema version is built, never per row.
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_publication_rel.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "published.h"

/*
 * Has the publication the relation? level: 0, or how far above it the published ancestor *publish_as stands, under whose
 * name its rows go.
 */
static bool
publication_has(Publication *publication, Relation relation, Oid *publish_as, int *level)
{
	Oid			relid = RelationGetRelid(relation);
	List	   *ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(relid) : NIL;
	Oid			ancestor = InvalidOid;
	int			ancestor_level = 0;

	*publish_as = relid;
	*level = 0;
	if (publication->alltables)
	{
		if (ancestors != NIL)
		{
			ancestor = llast_oid(ancestors);
			ancestor_level = list_length(ancestors);
		}
	}
	else if (ancestors != NIL)
		ancestor = GetTopMostAncestorInPublication(publication->oid, ancestors, &ancestor_level);
	if (OidIsValid(ancestor) && publication->pubviaroot)
	{
		*publish_as = ancestor;
		*level = ancestor_level;
	}
	return publication->alltables || OidIsValid(ancestor) ||
		list_member_oid(GetRelationPublications(relid), publication->oid) ||
		list_member_oid(GetSchemaPublications(RelationGetNamespace(relation)), publication->oid);
}

static void
add_actions(PublicationActions *actions, const PublicationActions *more)
{
	actions->pubinsert |= more->pubinsert;
	actions->pubupdate |= more->pubupdate;
	actions->pubdelete |= more->pubdelete;
	actions->pubtruncate |= more->pubtruncate;
}

/* The relation's own entry in the publication has these; NULL: none. */
static Node *
read_filter(Publication *publication, Oid relid)
{
	HeapTuple	entry;
	Datum		expression;
	bool		is_null;
	Node	   *filter = NULL;

	/* Whole schemas and all tables come without a filter, whatever else names the table. */
	if (publication->alltables ||
		SearchSysCacheExists2(PUBLICATIONNAMESPACEMAP, ObjectIdGetDatum(get_rel_namespace(relid)),
							  ObjectIdGetDatum(publication->oid)))
		return NULL;
	entry = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid), ObjectIdGetDatum(publication->oid));
	if (!HeapTupleIsValid(entry))
		return NULL;
	expression = SysCacheGetAttr(PUBLICATIONRELMAP, entry, Anum_pg_publication_rel_prqual, &is_null);
	if (!is_null)
		filter = stringToNode(TextDatumGetCString(expression));
	ReleaseSysCache(entry);
	return filter;
}

/* NULL: all columns. */
static Bitmapset *
read_columns(Publication *publication, Oid relid)
{
	HeapTuple	entry;
	Datum		list;
	bool		is_null;
	Bitmapset  *columns = NULL;

	if (publication->alltables)
		return NULL;
	entry = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid), ObjectIdGetDatum(publication->oid));
	if (!HeapTupleIsValid(entry))
		return NULL;
	list = SysCacheGetAttr(PUBLICATIONRELMAP, entry, Anum_pg_publication_rel_prattrs, &is_null);
	if (!is_null)
		columns = pub_collist_to_bitmapset(NULL, list, NULL);
	ReleaseSysCache(entry);
	return columns;
}

/* A row passes if one publication lets it: one without a filter makes the others' needless. */
static void
find_filters(Published *found, List *publications)
{
	bool		unfiltered[FILTER_ACTIONS] = {false};
	ListCell   *cell;

	foreach(cell, publications)
	{
		Publication *publication = lfirst(cell);
		Node	   *filter = read_filter(publication, found->publish_as);
		bool		has_action[FILTER_ACTIONS] = {
			[FILTER_INSERT] = publication->pubactions.pubinsert,
			[FILTER_UPDATE] = publication->pubactions.pubupdate,
			[FILTER_DELETE] = publication->pubactions.pubdelete,
		};

		for (int i = 0; i < FILTER_ACTIONS; i++)
		{
			if (has_action[i] && filter)
				found->filters[i] = lappend(found->filters[i], filter);
			else if (has_action[i])
				unfiltered[i] = true;
		}
	}
	for (int i = 0; i < FILTER_ACTIONS; i++)
		if (unfiltered[i])
			found->filters[i] = NIL;
}

static void
find_columns(Published *found, List *publications)
{
	ListCell   *cell;

	foreach(cell, publications)
	{
		Bitmapset  *columns = read_columns(lfirst(cell), found->publish_as);

		if (cell == list_head(publications))
			found->columns = columns;
		else if (!bms_equal(found->columns, columns))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use different column lists for table \"%s\" in different publications",
							get_rel_name(found->publish_as)),
					 errhint("Give the publications the same column list, or decode them one by one.")));
	}
}

Published
find_published(List *publications, Relation relation)
{
	Published	found = {.publish_as = RelationGetRelid(relation)};
	bool		is_partitioned = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	List	   *at_level = NIL; /* publications that publish it under the name found */
	int			found_level = 0;
	ListCell   *cell;

	if (!is_publishable_relation(relation))
		return found;
	foreach(cell, publications)
	{
		Publication *publication = lfirst(cell);
		Oid			publish_as;
		int			level;

		/* A partitioned table has no rows of its own, unless its partitions' are published as such. */
		if (!publication_has(publication, relation, &publish_as, &level) || (is_partitioned && !publication->pubviaroot))
			continue;
		found.published = true;
		add_actions(&found.actions, &publication->pubactions);
		if (level < found_level)
			continue;
		if (level > found_level)
			at_level = NIL;
		found_level = level;
		found.publish_as = publish_as;
		at_level = lappend(at_level, publication);
	}
	find_filters(&found, at_level);
	find_columns(&found, at_level);
	return found;
}
