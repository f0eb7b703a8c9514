"""The query service: GraphQL, REST and the web page over one knowledge base.

    request → guard → auth → limits → documents → schema → service → retriever
              sizes,  who     cost     parsed and   fields   threads,
              hosts                    weighed once          jobs

Nothing here is loaded until ``serve`` or ``mcp`` is run.
"""
