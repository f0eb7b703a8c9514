"""The one room that joins the stages: ingest, learn, query, and the Retriever in front of them."""

from graphretrieval.retriever.retriever import Retriever, open

__all__ = ["Retriever", "open"]
